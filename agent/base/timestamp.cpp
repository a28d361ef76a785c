#include "agent/base/timestamp.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

namespace agent {
namespace {

constexpr std::string_view shape = "0000-00-00T00:00:00Z";

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

int digits(std::string_view text, std::size_t first, std::size_t count) {
    int value = 0;
    for (const char c : text.substr(first, count))
        value = value * 10 + (c - '0');
    return value;
}

} // namespace

std::string timestamp(std::chrono::system_clock::time_point time) {
    using namespace std::chrono;
    const auto whole = floor<seconds>(time);
    const auto day = floor<days>(whole);
    const year_month_day date{day};
    const hh_mm_ss clock{whole - day};
    std::array<char, 64> text{};
    std::snprintf(text.data(),
                  text.size(),
                  "%04d-%02u-%02uT%02d:%02d:%02dZ",
                  static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()),
                  static_cast<unsigned>(date.day()),
                  static_cast<int>(clock.hours().count()),
                  static_cast<int>(clock.minutes().count()),
                  static_cast<int>(clock.seconds().count()));
    return text.data();
}

std::optional<std::chrono::system_clock::time_point> parse_timestamp(std::string_view text) {
    using namespace std::chrono;
    const auto fits = [](char found, char wanted) {
        return wanted == '0' ? is_digit(found) : found == wanted;
    };
    if (!std::equal(text.begin(), text.end(), shape.begin(), shape.end(), fits))
        return std::nullopt;
    const year_month_day date{year{digits(text, 0, 4)},
                              month{static_cast<unsigned>(digits(text, 5, 2))},
                              day{static_cast<unsigned>(digits(text, 8, 2))}};
    const int hour = digits(text, 11, 2);
    const int minute = digits(text, 14, 2);
    const int second = digits(text, 17, 2);
    if (!date.ok() || hour > 23 || minute > 59 || second > 59)
        return std::nullopt;
    return sys_days{date} + hours{hour} + minutes{minute} + seconds{second};
}

} // namespace agent
