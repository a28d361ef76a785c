#include "agent/commands/columns.hpp"

#include "agent/base/utf8.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <unistd.h>

namespace agent {
namespace {

std::string prefix_of(std::string_view text, std::size_t limit) {
    std::size_t bytes = 0;
    std::size_t column = 0;
    while (bytes < text.size()) {
        const auto character = first_character(text.substr(bytes));
        column += columns_of(character.point);
        if (column > limit)
            break;
        bytes += std::max<std::size_t>(1, character.length);
    }
    return std::string{text.substr(0, bytes)};
}

} // namespace

std::size_t columns(std::string_view text) {
    std::size_t count = 0;
    while (!text.empty()) {
        const auto character = first_character(text);
        count += columns_of(character.point);
        text.remove_prefix(std::max<std::size_t>(1, character.length));
    }
    return count;
}

std::string clip(std::string_view text, std::size_t limit) {
    return columns(text) <= limit ? std::string{text} : prefix_of(text, limit - 3) + "...";
}

std::string pad(std::string text, std::size_t to) {
    const std::size_t has = columns(text);
    if (has < to)
        text.append(to - has, ' ');
    return text;
}

std::string in_short(double seconds) {
    std::array<char, 32> text{};
    const auto all = static_cast<long long>(std::clamp(seconds, 0.0, 99.0 * 86400));
    if (seconds < 59.95)
        std::snprintf(text.data(), text.size(), "%.1fs", std::max(0.0, seconds));
    else if (all < 3600)
        std::snprintf(text.data(), text.size(), "%lldm%02llds", all / 60, all % 60);
    else if (all < 86400)
        std::snprintf(text.data(), text.size(), "%lldh%02lldm", all / 3600, all / 60 % 60);
    else
        std::snprintf(text.data(), text.size(), "%lldd%02lldh", all / 86400, all / 3600 % 24);
    return text.data();
}

bool is_coloured_terminal(const std::ostream& out) {
    const char* no_colour = std::getenv("NO_COLOR");
    return &out == &std::cout && ::isatty(STDOUT_FILENO) == 1 && !(no_colour && *no_colour);
}

} // namespace agent
