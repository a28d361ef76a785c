// Owns small operations on text: joining, trimming, quoting, making foreign text printable.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator);
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);
[[nodiscard]] std::string_view trim(std::string_view text);
[[nodiscard]] std::string lower(std::string_view text);

// Control and direction characters and invalid UTF-8 become '?'; newlines and tabs become blanks;
// text longer than `limit` bytes is cut and ends in "...". For everything foreign that reaches a
// message.
[[nodiscard]] std::string printable(std::string_view text, std::size_t limit = 400);

// The last `count` non-empty lines, for messages about a command that failed.
[[nodiscard]] std::vector<std::string> last_lines(std::string_view text, std::size_t count);

// The nearest of `candidates` within edit distance 2, or empty.
[[nodiscard]] std::string nearest(std::string_view word,
                                  std::span<const std::string_view> candidates);

[[nodiscard]] std::string hex(std::span<const unsigned char> bytes);

} // namespace agent
