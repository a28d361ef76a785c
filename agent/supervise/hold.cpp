#include "agent/supervise/hold.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"

#include <utility>

namespace agent {
namespace {

constexpr std::int64_t version = 1;

} // namespace

std::optional<Hold::Term> Hold::at(std::chrono::nanoseconds since_boot) const {
    return term_ && since_boot < term_->until ? term_ : std::nullopt;
}

bool Hold::extend(Now now, std::chrono::seconds duration, std::string by) {
    const auto until = std::chrono::floor<std::chrono::milliseconds>(now.since_boot) + duration;
    const auto current = at(now.since_boot);
    if (current && current->until >= until)
        return false;
    term_ = Term{until, now.wall + duration, std::move(by)};
    return true;
}

bool Hold::release(std::chrono::nanoseconds since_boot) {
    const bool held = at(since_boot).has_value();
    term_.reset();
    return held;
}

Value Hold::to_value() const {
    if (!term_)
        return {};
    return Value::Object{{"version", version, {}},
                         {"until", timestamp(term_->shown), {}},
                         {"until_since_boot_ms", std::int64_t{term_->until.count()}, {}},
                         {"by", term_->by, {}}};
}

Result<Hold> Hold::from_value(const Value& value) {
    Hold hold;
    if (std::holds_alternative<std::nullptr_t>(value.data))
        return hold;
    const auto shown = parse_timestamp(value.string_or("until", ""));
    const Value* until = value.find("until_since_boot_ms");
    if (value.integer_or("version", 0) != version || !shown || !until || !until->as_integer())
        return permanent("this is no hold of version " + std::to_string(version));
    hold.term_ = Term{std::chrono::milliseconds{*until->as_integer()},
                      *shown,
                      printable(value.string_or("by", ""), 64)};
    return hold;
}

std::string clock_face(WallTime time, WallTime now) {
    const std::string whole = timestamp(time); // 2024-05-01T12:00:00Z
    const std::string date = whole.substr(0, 10);
    const std::string face = whole.substr(11, 5) + " UTC";
    return date == timestamp(now).substr(0, 10) ? face : date + " " + face;
}

} // namespace agent
