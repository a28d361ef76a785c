// Owns the small grammars that values of the configuration share: host names, addresses, paths,
// URLs. Pure; the words are those of settings_rules.
#pragma once

#include "agent/settings_rules.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace agent::rules {

inline constexpr std::string_view digits = "0123456789";
inline constexpr std::string_view lower_letters = "abcdefghijklmnopqrstuvwxyz";
inline constexpr std::string_view word_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

[[nodiscard]] inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}
[[nodiscard]] inline bool only(std::string_view text, std::string_view allowed) {
    return text.find_first_not_of(allowed) == std::string_view::npos;
}
[[nodiscard]] inline bool is_one_of(char c, std::string_view characters) {
    return characters.find(c) != std::string_view::npos;
}
[[nodiscard]] inline bool has_control(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
}

// A decimal number without sign or leading zero, at most `largest`.
[[nodiscard]] std::optional<std::uint32_t> decimal(std::string_view text, std::uint32_t largest);

[[nodiscard]] bool is_ip_address(std::string_view text);
[[nodiscard]] bool is_dns_name(std::string_view name);

// What a path must be, wherever it leads: normalised, of harmless characters, at most 100 of them.
[[nodiscard]] Verdict
judge_path(std::string_view path, std::string_view what, std::string_view code);

// HOST or HOST:PORT, an IPv6 address in brackets.
[[nodiscard]] Verdict
judge_authority(std::string_view authority, std::string_view what, std::string_view code);

enum class Scheme { https, http_or_https };
struct UrlRule {
    std::string_view what;    // "the index"
    std::string_view example; // "https://host/simple/"
    Scheme scheme = Scheme::https;
};
// A scheme, a host, perhaps a port and a path: no credentials, no query, no fragment.
[[nodiscard]] Verdict judge_url(std::string_view url, const UrlRule& rule);

} // namespace agent::rules
