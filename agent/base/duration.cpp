#include "agent/base/duration.hpp"

#include <charconv>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

enum class Unit { second, minute, hour };

std::pair<long long, Unit> in_largest(std::chrono::seconds duration) {
    if (duration % 1h == 0s && duration >= 2h)
        return {duration / 1h, Unit::hour};
    if (duration % 1min == 0s && duration >= 2min)
        return {duration / 1min, Unit::minute};
    return {duration.count(), Unit::second};
}

} // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
    long long number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    if (failure != std::errc{} || number < 0 || number > 31'536'000)
        return std::nullopt;
    if (unit == "ms")
        return std::chrono::milliseconds{number};
    if (unit == "s")
        return std::chrono::seconds{number};
    if (unit == "m")
        return std::chrono::minutes{number};
    if (unit == "h")
        return std::chrono::hours{number};
    return std::nullopt;
}

std::string short_duration(std::chrono::seconds duration) {
    const auto [number, unit] = in_largest(duration);
    return std::to_string(number) + (unit == Unit::hour ? "h" : unit == Unit::minute ? "m" : "s");
}

std::string in_units(std::chrono::seconds duration) {
    const auto [number, unit] = in_largest(duration);
    return std::to_string(number) + (unit == Unit::hour     ? " h"
                                     : unit == Unit::minute ? " min"
                                                            : " s");
}

} // namespace agent
