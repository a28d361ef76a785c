#include "agent/settings_grammar.hpp"

#include "agent/base/text.hpp"

#include <array>
#include <vector>

#include <arpa/inet.h>

namespace agent::rules {
namespace {

constexpr std::string_view path_characters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-";

bool has_component(std::string_view path, std::string_view component) {
    const auto parts = split(path, '/');
    return std::find(parts.begin(), parts.end(), component) != parts.end();
}

bool is_escaped(std::string_view path) {
    for (auto at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 1))
        if (path.size() <= at + 2 || !only(path.substr(at + 1, 2), "0123456789abcdefABCDEF"))
            return false;
    return true;
}

} // namespace

std::optional<std::uint32_t> decimal(std::string_view text, std::uint32_t largest) {
    if (text.empty() || text.size() > 9 || !only(text, digits) ||
        (text.size() > 1 && text.front() == '0'))
        return std::nullopt;
    const auto number = static_cast<std::uint32_t>(std::stoul(std::string{text}));
    return number <= largest ? std::optional{number} : std::nullopt;
}

bool is_ip_address(std::string_view text) {
    if (!only(text, "0123456789abcdefABCDEF:.")) // a NUL would end the text for inet_pton
        return false;
    std::array<unsigned char, 16> address{};
    const std::string name{text};
    return ::inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
           ::inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
}

bool is_dns_name(std::string_view name) {
    if (name.empty() || name.size() > 253)
        return false;
    const auto labels = split(name, '.');
    for (const std::string& label : labels)
        if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
            label.find_first_not_of(std::string{word_characters} + "-") != std::string::npos)
            return false;
    return !only(labels.back(), digits);
}

Verdict judge_path(std::string_view path, std::string_view what, std::string_view code) {
    const auto complaint = [&](std::string_view wrong, std::string label, std::string hint) {
        return Complaint{
            code, std::string{what} + " " + std::string{wrong}, std::move(label), std::move(hint)};
    };
    if (path.empty())
        return complaint("is empty", "empty", "remove the key to have the default");
    if (path.size() > 100)
        return complaint("is longer than 100 characters", "too long", {});
    if (has_control(path))
        return complaint("holds a control character", "control character", {});
    if (path.starts_with('~'))
        return complaint("begins with `~`, which only a shell expands", "`~` is not expanded", {});
    if (has_component(path, "..") || has_component(path, "."))
        return complaint(
            "holds a `.` or `..` component", "not normalised", "write the path itself");
    if (contains(path, "//") || (path.size() > 1 && path.ends_with('/')))
        return complaint("has a `/` too many", "not normalised", "write it with single slashes");
    if (!only(path, path_characters))
        return complaint("holds a character that is not allowed",
                         "not allowed here",
                         "letters A-Z a-z, digits and / . _ + - are");
    if (path.starts_with('-') || contains(path, "/-"))
        return complaint("has a component that begins with `-`", "reads like an option", {});
    return std::nullopt;
}

Verdict judge_authority(std::string_view authority, std::string_view what, std::string_view code) {
    const auto complaint = [&](std::string_view wrong, std::string label) {
        return Complaint{code, std::string{what} + " " + std::string{wrong}, std::move(label), {}};
    };
    const bool in_brackets = authority.starts_with('[');
    const auto end = in_brackets ? authority.find(']') : authority.find(':');
    std::string_view host = authority.substr(in_brackets ? 1 : 0, in_brackets ? end - 1 : end);
    std::string_view port = end == std::string_view::npos ? "" : authority.substr(end);
    if (in_brackets)
        port = port.substr(std::min<std::size_t>(1, port.size()));
    const bool is_host = in_brackets ? contains(host, ":") && is_ip_address(host)
                                     : is_dns_name(host) || is_ip_address(host);
    if (!is_host)
        return complaint("names no host", "no valid host name");
    if (!port.empty() && (port.front() != ':' || decimal(port.substr(1), 65535).value_or(0) == 0))
        return complaint("names no valid port", "no valid port");
    return std::nullopt;
}

Verdict judge_url(std::string_view url, const UrlRule& rule) {
    const std::string what{rule.what};
    const auto complaint = [](std::string message, std::string label, std::string hint) {
        return Complaint{code::url, std::move(message), std::move(label), std::move(hint)};
    };
    if (url.empty())
        return complaint(what + "'s URL is empty",
                         "empty",
                         "write it as " + std::string{rule.example} + ", or remove the key");
    const auto scheme_end = url.find("://");
    const std::string_view rest =
        url.substr(scheme_end == std::string_view::npos ? url.size() : scheme_end + 3);
    const std::string_view authority = rest.substr(0, rest.find_first_of("/?#\\"));
    if (contains(authority, "@"))
        return complaint(what + "'s URL holds a user name or a password",
                         "credentials in a URL",
                         "leave them out: the configuration can be read by others");
    const bool over_http = url.starts_with("http://");
    if (over_http && rule.scheme == Scheme::https)
        return complaint(what + " is not reached over https",
                         "http",
                         "packages fetched over http can be replaced on their way: use https://");
    if (!over_http && !url.starts_with("https://"))
        return complaint(what + (rule.scheme == Scheme::https
                                     ? " is not an https URL"
                                     : " is reached over neither https nor http"),
                         rule.scheme == Scheme::https ? "not an https URL" : "another scheme",
                         "write it as " + std::string{rule.example});
    if (url.size() > 1000)
        return complaint(what + "'s URL is longer than 1000 characters", "too long", {});
    if (rest.find_first_of("?#") != std::string_view::npos)
        return complaint(what + "'s URL holds a query or a fragment",
                         "not taken in this URL",
                         "write it as " + std::string{rule.example});
    if (auto wrong = judge_authority(authority, what + "'s URL", code::url))
        return wrong;
    const std::string_view path = rest.substr(authority.size());
    if (!is_escaped(path) || !only(path, std::string{word_characters} + "/._~+-%:=,"))
        return complaint("the path of " + what + "'s URL holds a character that is not allowed",
                         "not allowed in a path",
                         "percent-encode it");
    return std::nullopt;
}

} // namespace agent::rules
