#include "agent/supervise/limit_keeper.hpp"

#include "agent/base/boot_time.hpp"
#include "agent/base/log.hpp"
#include "agent/base/stop.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

namespace agent {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;

constexpr std::int64_t version = 1;
constexpr std::size_t file_limit = 4096;

Result<Value> read(const Root& root) {
    const auto text = read_file(root / layout::limits_file, file_limit);
    if (!text)
        return text.error();
    if (!*text)
        return Value{};
    auto value = parse_json(**text);
    if (!value)
        return value.error();
    if (value->integer_or("version", 0) != version)
        return permanent("these are no limits of version " + std::to_string(version));
    return value;
}

const Value& member(const Value& value, const std::string& key) {
    static const Value nothing;
    const Value* found = value.find(key);
    return found ? *found : nothing;
}

} // namespace

LimitKeeper::LimitKeeper(World world)
    : world_{std::move(world)},
      booted_{std::chrono::floor<milliseconds>(first_process_started(world_.root))},
      timer_{world_.io} {
    const auto value = read(world_.root);
    const auto taken = value ? take(*value) : Result<void>{value.error()};
    if (!taken)
        log::warning(context(taken.error(), "reading the limits of this boot").message);
}

asio::awaitable<void> LimitKeeper::run(std::stop_token stop) {
    while (true) {
        throw_if_stopped(stop);
        woken_ = false;
        co_await look();
        if (!woken_)
            co_await nap(stop);
    }
}

asio::awaitable<void> LimitKeeper::look() {
    const LimitsSeen seen = this->seen();
    const LimitAction action = policy_.observe(seen);
    const bool is_news = policy_.planned() != told_ || policy_.is_near() != told_near_;
    told_ = policy_.planned();
    told_near_ = policy_.is_near();
    keep();
    if (is_news)
        world_.on_change();
    if (action == LimitAction::nothing)
        co_return;
    const std::string reason = told_->cause == StopCause::failure
                                   ? "its setup has failed: " + reason_
                                   : "its lifetime ends";
    log::warning("this machine " + in_brief(*told_, seen.wall) +
                 (action == LimitAction::warn ? ": " + reason : ""));
    if (action == LimitAction::warn) {
        world_.terminals.tell_all(warning_of(*told_, rules_, reason, seen.wall));
        co_return;
    }
    if (auto off = co_await world_.services.power_off(); !off)
        log::error(off.error().message + "; it is tried again within a minute");
}

void LimitKeeper::wake() {
    woken_ = true;
    timer_.cancel();
}

void LimitKeeper::begin(const LimitRules& rules,
                        const std::string& configuration,
                        SetupClock::Begin how) {
    rules_ = rules;
    if (setup_.begin(now(), configuration, how))
        failed_since_.reset();
    standing_ = Standing::working;
    keep();
    wake();
}

void LimitKeeper::created_by(const std::string& text) {
    group_ = managed_group(text);
    wake();
}

void LimitKeeper::stands(Standing standing, const std::string& reason) {
    reason_ = reason;
    if (standing == standing_)
        return;
    standing_ = standing;
    switch (standing) {
    case Standing::working:
    case Standing::trying_again:
        setup_.go_on(now());
        break;
    case Standing::waiting:
        setup_.stand(now());
        break;
    case Standing::failed:
        setup_.stand(now());
        if (!failed_since_)
            failed_since_ = now();
        break;
    case Standing::done:
        setup_.end();
        failed_since_.reset();
        break;
    }
    keep();
    wake();
}

const PlannedStop* LimitKeeper::near_stop() const {
    const bool counts = told_ && told_near_ &&
                        (told_->cause == StopCause::lifetime || standing_ == Standing::failed);
    return counts ? &*told_ : nullptr;
}

LimitKeeper::Time LimitKeeper::now() const {
    return std::chrono::floor<milliseconds>(world_.clock.since_boot());
}

LimitsSeen LimitKeeper::seen() {
    LimitsSeen seen;
    seen.now = now();
    seen.wall = world_.clock.wall();
    seen.booted = booted_;
    seen.rules = rules_;
    seen.group = group_;
    if (const auto term = world_.hold().at(seen.now))
        seen.held_until = term->until;
    if (standing_ != Standing::failed)
        return seen;
    seen.failed_since = failed_since_;
    if (rules_.stops_on_failure)
        seen.typed =
            terminal_watch_.observe(world_.terminals.open(), {seen.now, seen.wall}, rules_.grace);
    return seen;
}

void LimitKeeper::keep() {
    std::string text = write_json(to_value()) + "\n";
    if (text == kept_)
        return;
    auto written = durable_write(
        world_.root / layout::limits_file, text, {.mode = 0644}, Durability::ephemeral);
    if (written)
        kept_ = std::move(text);
    else
        log::warning(context(written.error(), "recording the limits of this boot").message);
}

Value LimitKeeper::to_value() const {
    return Value::Object{{"version", version, {}},
                         {"setup", setup_.to_value(), {}},
                         {"failed_since_ms",
                          failed_since_ ? Value{std::int64_t{failed_since_->count()}} : Value{},
                          {}},
                         {"group", group_, {}},
                         {"stop", told_ ? agent::to_value(*told_) : Value{}, {}}};
}

Result<void> LimitKeeper::take(const Value& value) {
    auto setup = SetupClock::from_value(member(value, "setup"));
    if (!setup)
        return setup.error();
    setup_ = std::move(*setup);
    if (const auto* since = member(value, "failed_since_ms").as_integer())
        failed_since_ = Time{*since};
    group_ = value.string_or("group", "");
    return {};
}

asio::awaitable<void> LimitKeeper::nap(std::stop_token stop) {
    const auto next = policy_.next_look();
    if (next)
        timer_.expires_after(std::max(Time{0}, *next - now()));
    else
        timer_.expires_at(asio::steady_timer::time_point::max());
    const std::stop_callback on_stop{stop, [this] { timer_.cancel(); }};
    boost::system::error_code cancelled;
    co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
}

Result<std::optional<PlannedStop>> read_planned_stop(const Root& root) {
    const auto value = read(root);
    if (!value)
        return context(value.error(), "reading the planned stop");
    const Value& stop = member(*value, "stop");
    if (!stop.as_object())
        return std::optional<PlannedStop>{};
    auto planned = planned_stop_from(stop);
    if (!planned)
        return context(planned.error(), "reading the planned stop");
    return std::optional{std::move(*planned)};
}

} // namespace agent
