// Owns the first two numbers of a version, by which releases of a program are told apart.
#pragma once

#include <charconv>
#include <compare>
#include <string_view>

namespace agent {

struct Release {
    unsigned major = 0;
    unsigned minor = 0;
    friend auto operator<=>(const Release&, const Release&) = default;
};

// Of "6.1.0rc1", 6 and 1: what a release brings is in its candidates. What is no number counts as
// 0.
[[nodiscard]] inline Release release_of(std::string_view version) {
    Release release;
    const char* const begin = version.data();
    const char* const end = begin + version.size();
    const auto [rest, failure] = std::from_chars(begin, end, release.major);
    if (failure == std::errc{} && rest != end && *rest == '.')
        std::from_chars(rest + 1, end, release.minor);
    return release;
}

} // namespace agent
