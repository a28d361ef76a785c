// Owns UTF-8: reading one well-formed character at a time, and how wide a terminal shows it.
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

// Columns on a terminal: 2 for East Asian wide characters and pictures, 0 for what is drawn upon
// the character before.
[[nodiscard]] constexpr std::size_t columns_of(char32_t point) {
    struct Range {
        char32_t first, last;
    };
    constexpr Range joined[] = {{0x300, 0x36F}, {0x200B, 0x200F}, {0xFE00, 0xFE0F}};
    constexpr Range wide[] = {{0x1100, 0x115F},
                              {0x2E80, 0x303E},
                              {0x3041, 0xA4CF},
                              {0xAC00, 0xD7A3},
                              {0xF900, 0xFAFF},
                              {0xFE30, 0xFE6F},
                              {0xFF00, 0xFF60},
                              {0xFFE0, 0xFFE6},
                              {0x1F300, 0x1FAFF},
                              {0x20000, 0x3FFFD}};
    for (const auto& range : joined)
        if (point >= range.first && point <= range.last)
            return 0;
    for (const auto& range : wide)
        if (point >= range.first && point <= range.last)
            return 2;
    return 1;
}

} // namespace agent
