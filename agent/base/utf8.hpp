// Owns UTF-8: reading one well-formed character at a time.
#pragma once

#include <cstddef>
#include <string_view>

namespace agent {

struct Utf8Character {
    char32_t point = 0;
    // In bytes; 0: the text is empty or does not begin with well-formed UTF-8.
    std::size_t length = 0;
};

[[nodiscard]] constexpr bool continues_character(char c) {
    return static_cast<signed char>(c) < -0x40;
}

// Strict: no overlong forms, no surrogates, nothing above U+10FFFF.
[[nodiscard]] constexpr Utf8Character first_character(std::string_view text) {
    if (text.empty())
        return {};
    const auto byte = [&](std::size_t i) -> unsigned {
        return static_cast<unsigned char>(text[i]);
    };
    const unsigned lead = byte(0);
    if (lead < 0x80)
        return {lead, 1};
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < length)
        return {};
    char32_t point = lead % (length == 4 ? 8 : length == 3 ? 16 : 32);
    for (std::size_t i = 1; i < length; ++i) {
        if (!continues_character(text[i]))
            return {};
        point = point * 64 + byte(i) % 64;
    }
    constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    if (point < least[length] || surrogate || point > 0x10FFFF)
        return {};
    return {point, length};
}

// What would command a terminal, change the direction of the text around it, or not be seen.
[[nodiscard]] constexpr bool is_unprintable(char32_t point) {
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0xFEFF || point == 0x2028 ||
           point == 0x2029 || (point >= 0x200B && point <= 0x200F) ||
           (point >= 0x202A && point <= 0x202E) || (point >= 0x2060 && point <= 0x2069);
}

} // namespace agent
