#include "agent/supervise/limits.hpp"

#include "agent/base/duration.hpp"
#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/supervise/hold.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;
using Fate = PlannedStop::Fate;

constexpr std::array<std::pair<StopCause, std::string_view>, 2> causes{
    {{StopCause::failure, "failure"}, {StopCause::lifetime, "lifetime"}}};
constexpr std::array<std::pair<Fate, std::string_view>, 4> fates{
    {{Fate::powers_off, "powers_off"},
     {Fate::held, "held"},
     {Fate::stays, "stays"},
     {Fate::powered_off, "powered_off"}}};

template <class Names, class Item> std::string name_in(const Names& names, Item item) {
    for (const auto& [one, name] : names)
        if (one == item)
            return std::string{name};
    return {};
}

template <class Item, std::size_t size>
std::optional<Item> named(const std::array<std::pair<Item, std::string_view>, size>& names,
                          std::string_view text) {
    for (const auto& [item, name] : names)
        if (name == text)
            return item;
    return std::nullopt;
}

std::string why(StopCause cause) {
    return cause == StopCause::failure ? "its setup has failed" : "its lifetime is over";
}

} // namespace

LimitAction LimitPolicy::observe(const LimitsSeen& seen) {
    const auto due = first_due(seen);
    if (!due) {
        forget();
        return LimitAction::nothing;
    }
    // Sooner than was told; a hold that has come to its end is none of that.
    const bool is_sooner = due_ && due->at < due_->at && seen.now < due_->at;
    if (!due_ || due->cause != due_->cause || is_sooner)
        not_before_ = seen.now + last_warning;
    due_ = due;
    const Time at = std::max(due->at, not_before_);
    const Time left = at - seen.now;
    const bool is_over = left <= Time{0};

    PlannedStop stop;
    stop.cause = due->cause;
    stop.group = printable(seen.group, 64);
    stop.fate = !stop.group.empty() ? Fate::stays
                : is_over           ? Fate::powered_off
                : due->held         ? Fate::held
                                    : Fate::powers_off;
    stop.shown = seen.wall + left;
    // Otherwise it would flicker with every look.
    if (planned_ && std::chrono::abs(planned_->shown - stop.shown) < 10s)
        stop.shown = planned_->shown;
    if (stop.fate == Fate::stays) {
        near_ = stop.cause == StopCause::failure || is_over;
        next_look_ = is_over ? std::nullopt : std::optional{seen.now + longest_interval};
        // What is not going to happen is nobody's business before it would have happened.
        planned_ = near_ ? std::optional{stop} : std::nullopt;
        return LimitAction::nothing;
    }
    planned_ = stop;
    near_ = stop.cause == StopCause::failure || left <= foresight;
    const Nearness nearness = LimitPolicy::nearness(due->cause, left);
    const bool typing_counts = due->cause == StopCause::failure && !due->held;
    next_look_ = seen.now + (typing_counts ? failure_interval : longest_interval);
    for (const Time step : {Time{last_warning}, Time{first_warning}, Time{foresight}, Time{0}})
        if (left > step)
            next_look_ = std::min(*next_look_, at - step);
    if (is_over) {
        next_look_ = seen.now + longest_interval; // unless systemd could not be asked
        return LimitAction::power_off;
    }
    return std::exchange(warned_, nearness) < nearness ? LimitAction::warn : LimitAction::nothing;
}

std::optional<LimitPolicy::Due> LimitPolicy::first_due(const LimitsSeen& seen) {
    std::optional<Due> first;
    if (const auto at = failure_due(seen))
        first = Due{StopCause::failure, *at};
    if (seen.rules.lifetime) {
        const Time at = seen.booted + *seen.rules.lifetime;
        if (!first || at < first->at)
            first = Due{StopCause::lifetime, at};
    }
    if (first && seen.held_until && *seen.held_until > std::max(first->at, seen.now)) {
        first->at = *seen.held_until;
        first->held = true;
    }
    return first;
}

// What is typed puts it off only when the end comes near, so that the hour that people were told
// holds as long as it can.
std::optional<LimitPolicy::Time> LimitPolicy::failure_due(const LimitsSeen& seen) {
    if (!seen.failed_since || !seen.rules.stops_on_failure) {
        failed_since_.reset();
        return std::nullopt;
    }
    const Time put_off =
        std::max(*seen.failed_since, seen.typed.value_or(*seen.failed_since)) + seen.rules.grace;
    if (failed_since_ != seen.failed_since)
        failure_at_ = put_off;
    else if (seen.now + last_warning >= failure_at_)
        failure_at_ = std::max(failure_at_, put_off);
    failed_since_ = seen.failed_since;
    return failure_at_;
}

void LimitPolicy::forget() {
    planned_.reset();
    near_ = false;
    next_look_.reset();
    due_.reset();
    warned_ = Nearness::far;
}

LimitPolicy::Nearness LimitPolicy::nearness(StopCause cause, Time left) {
    if (left <= last_warning)
        return Nearness::last;
    if (left <= first_warning)
        return Nearness::near;
    return cause == StopCause::failure ? Nearness::known : Nearness::far;
}

std::string in_brief(const PlannedStop& stop, WallTime now) {
    switch (stop.fate) {
    case Fate::powers_off:
        return "powers off at " + clock_face(stop.shown, now) + " unless held";
    case Fate::held:
        return "powers off at " + clock_face(stop.shown, now) + " unless held longer";
    case Fate::stays:
        return "stays up, for instance group " + stop.group + " would replace it";
    case Fate::powered_off:
        break;
    }
    return "powers off now, for " + why(stop.cause);
}

std::string with_remedy(const PlannedStop& stop, WallTime now) {
    switch (stop.fate) {
    case Fate::powers_off:
    case Fate::held:
        return "it " + in_brief(stop, now) + ": `agent hold 2h`";
    case Fate::stays:
        return "it does not power off although " + why(stop.cause) + ": instance group " +
               stop.group + " would replace it; resize or delete the group";
    case Fate::powered_off:
        break;
    }
    return "it " + in_brief(stop, now);
}

std::string warning_of(const PlannedStop& stop,
                       const LimitRules& rules,
                       const std::string& reason,
                       WallTime now) {
    std::string text =
        "This machine " + in_brief(stop, now) + ": " + printable(reason, 200) + ".\n";
    if (stop.cause == StopCause::failure)
        text += "What is typed at a terminal puts that off by " + in_units(rules.grace) + "; ";
    else
        text += "Save your work; ";
    return text + "`agent hold 2h` keeps it up.\n";
}

Value to_value(const PlannedStop& stop) {
    return Value::Object{{"cause", name_in(causes, stop.cause), {}},
                         {"fate", name_in(fates, stop.fate), {}},
                         {"at", timestamp(stop.shown), {}},
                         {"group", stop.group.empty() ? Value{} : Value{stop.group}, {}}};
}

Result<PlannedStop> planned_stop_from(const Value& value) {
    const auto cause = named(causes, value.string_or("cause", ""));
    const auto fate = named(fates, value.string_or("fate", ""));
    const auto shown = parse_timestamp(value.string_or("at", ""));
    if (!cause || !fate || !shown)
        return permanent("this is no planned stop");
    return PlannedStop{*cause, *fate, *shown, printable(value.string_or("group", ""), 64)};
}

// projects/NUMBER/zones/ZONE/instanceGroupManagers/NAME; regions/REGION for a regional one.
std::string managed_group(const std::string& created_by) {
    constexpr std::string_view key = "/instanceGroupManagers/";
    const auto at = created_by.find(key);
    if (at == std::string::npos)
        return {};
    const std::string name = created_by.substr(at + key.size());
    return name.empty() ? "of an unknown name" : name;
}

} // namespace agent
