// Owns text as a terminal shows it: how many columns it takes, cutting and filling it to some.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>

namespace agent {

[[nodiscard]] std::size_t columns(std::string_view text);
// Longer text ends in "..."; `limit` is three at least.
[[nodiscard]] std::string clip(std::string_view text, std::size_t limit);
[[nodiscard]] std::string pad(std::string text, std::size_t to);

// At most six columns: "0.3s", "12.3s", "59m59s", "3h05m", "2d04h"
[[nodiscard]] std::string in_short(double seconds);

// Whether `out` is a terminal's std::cout and NO_COLOR is not set.
[[nodiscard]] bool is_coloured_terminal(const std::ostream& out);

} // namespace agent
