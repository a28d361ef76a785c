#include "agent/report/guest_attributes.hpp"

#include "agent/base/backoff.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <algorithm>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto window = 60s;
constexpr std::size_t longest_summary = 256;
constexpr Backoff after_failure{2s, 60s};

constexpr const char* report_key = "report";
constexpr const char* summary_key = "summary";
constexpr const char* state_key = "state";

} // namespace

void GuestAttributeSchedule::count(const std::vector<Monotonic>& earlier) {
    for (const auto write : earlier) {
        writes_.push_back(write);
        if (writes_.size() > writes_a_minute)
            writes_.pop_front();
    }
}

void GuestAttributeSchedule::offer(const Status& status) {
    wanted_[report_key] = write_json(to_report(status));
    wanted_[summary_key] = printable(status.summary, longest_summary);
    settled_ = status.state != MachineState::starting && status.state != MachineState::provisioning;
    std::string state{name_of(status.state)};
    if (wanted_[state_key] == state)
        return;
    wanted_[state_key] = std::move(state);
    ++round_;
    told_of_state_.clear();
    not_before_.reset();
    failures_ = 0;
    may_try_ = true;
}

bool GuestAttributeSchedule::differs(const std::string& key) const {
    const auto wanted = wanted_.find(key);
    if (wanted == wanted_.end())
        return false;
    const auto told = told_.find(key);
    return told == told_.end() || told->second != wanted->second;
}

std::size_t GuestAttributeSchedule::room(Monotonic now) const {
    const auto recent = std::count_if(
        writes_.begin(), writes_.end(), [&](Monotonic write) { return write + window >= now; });
    return writes_a_minute - static_cast<std::size_t>(recent);
}

std::optional<std::string> GuestAttributeSchedule::key_due(Monotonic now) const {
    const bool state_is_new = differs(state_key);
    const auto due = [&](const char* key) {
        return differs(key) && !(state_is_new && told_of_state_.contains(key));
    };
    if (due(report_key))
        return report_key;
    if (due(summary_key) && (!state_is_new || (settled_ && room(now) >= 2)))
        return summary_key;
    return state_is_new ? std::optional<std::string>{state_key} : std::nullopt;
}

std::optional<Monotonic> GuestAttributeSchedule::wake(Monotonic now) const {
    const auto key = key_due(now);
    if ((disabled_ && !may_try_) || !key)
        return std::nullopt;
    Monotonic due = std::max(now, not_before_.value_or(now));
    if (!writes_.empty())
        due = std::max(due, writes_.back() + gap);
    std::size_t budget = writes_a_minute;
    if (!differs(state_key) || !settled_)
        budget -= kept_for_a_state;
    // The report says the same; while steps go by, the next states need the room.
    if (!differs(state_key) && *key == summary_key && !settled_)
        budget = 1;
    // A write at the very end of a window is still in it.
    if (writes_.size() >= budget)
        due = std::max(due, writes_[writes_.size() - budget] + window + 1ms);
    return due;
}

std::optional<GuestAttributeSchedule::Put> GuestAttributeSchedule::next(Monotonic now) const {
    const auto due = wake(now);
    if (!due || *due > now)
        return std::nullopt;
    const auto key = key_due(now);
    return Put{*key, wanted_.at(*key), round_};
}

void GuestAttributeSchedule::done(const Put& put, GuestWrite outcome, Monotonic now) {
    count({now});
    if (outcome == GuestWrite::later) {
        not_before_ = now + after_failure.delay(++failures_, 1.0);
        return;
    }
    failures_ = 0;
    not_before_.reset();
    disabled_ = outcome == GuestWrite::disabled;
    may_try_ = !disabled_;
    if (disabled_)
        return;
    // What was rejected would be rejected again: it counts as told.
    told_[put.key] = put.value;
    if (put.round == round_)
        told_of_state_.insert(put.key);
}

} // namespace agent
