// Owns durations as people write and read them: a number and a unit, "90m" and "90 min".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

// A whole number with ms, s, m or h, at most a year of seconds in number; nullopt for anything
// else.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

// In the largest unit of which it has at least two whole ones: "60m", "24h". parse_duration() reads
// it.
[[nodiscard]] std::string short_duration(std::chrono::seconds duration);
// The same for sentences: "60 min", "24 h".
[[nodiscard]] std::string in_units(std::chrono::seconds duration);

} // namespace agent
