#include "agent/ports/https_url.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include <arpa/inet.h>

namespace agent {
namespace {

constexpr std::size_t longest_url = 8192;
constexpr std::size_t longest_host = 253;
constexpr std::uint16_t https_port = 443;

bool is_alphanumeric(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_host(std::string_view host) {
    const bool v6 = host.find(':') != std::string_view::npos;
    return !host.empty() && host.size() <= longest_host && host.front() != '-' &&
           (v6 || host.front() != '.') && std::all_of(host.begin(), host.end(), [&](char c) {
               return is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || (v6 && c == ':');
           });
}

// What stands in a request line: one visible ASCII word.
bool is_target(std::string_view target) {
    return std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < '\x7F'; });
}

struct Place {
    std::string host;
    std::optional<std::uint16_t> port;
};

std::optional<Place> place_of(std::string_view text) {
    Place place;
    std::string_view port;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos ||
            text.substr(0, end).find(':') == std::string_view::npos)
            return std::nullopt;
        place.host = lower(text.substr(1, end - 1));
        port = text.substr(end + 1);
    } else {
        const auto colon = std::min(text.find(':'), text.size());
        place.host = lower(text.substr(0, colon));
        port = text.substr(colon);
        if (place.host.find(':') != std::string::npos)
            return std::nullopt;
    }
    if (!is_host(place.host))
        return std::nullopt;
    if (port.empty() || port == ":")
        return place;
    std::uint16_t number = 0;
    const auto [end, failure] = std::from_chars(port.data() + 1, port.data() + port.size(), number);
    if (port.front() != ':' || failure != std::errc{} || end != port.data() + port.size() ||
        number == 0)
        return std::nullopt;
    place.port = number;
    return place;
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    const char small = static_cast<char>(c | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

std::string percent_decoded(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
            hex_digit(text[i + 2]) >= 0) {
            out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
            i += 2;
        } else {
            out += text[i];
        }
    }
    return out;
}

std::optional<std::string_view> without_scheme(std::string_view text, std::string_view scheme) {
    if (text.size() < scheme.size() || lower(text.substr(0, scheme.size())) != scheme)
        return std::nullopt;
    return text.substr(scheme.size());
}

// "/a/./b/../c" → "/a/c"; the query stays.
std::string without_dots(std::string_view target) {
    const auto query = std::min(target.find('?'), target.size());
    std::vector<std::string> kept;
    const auto segments = split(target.substr(1, query - 1), '/');
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const bool is_last = i + 1 == segments.size();
        if (segments[i] == "..") {
            if (!kept.empty())
                kept.pop_back();
        } else if (segments[i] != ".") {
            kept.push_back(segments[i]);
            continue;
        }
        if (is_last)
            kept.emplace_back();
    }
    return "/" + join(kept, "/") + std::string{target.substr(query)};
}

std::string_view without_fragment(std::string_view text) {
    return text.substr(0, text.find('#'));
}

// "10.0.0.0/8" and an address within; IPv4 alone, as in curl before 7.86.
bool is_within(const std::string& host, const std::string& network) {
    const auto slash = network.find('/');
    unsigned bits = 0;
    const char* const end = network.data() + network.size();
    if (slash == std::string::npos ||
        std::from_chars(network.data() + slash + 1, end, bits).ptr != end || bits > 32)
        return false;
    in_addr address{};
    in_addr base{};
    if (::inet_pton(AF_INET, host.c_str(), &address) != 1 ||
        ::inet_pton(AF_INET, network.substr(0, slash).c_str(), &base) != 1)
        return false;
    const std::uint64_t mask = ~std::uint64_t{0} << (32 - bits);
    return ((ntohl(address.s_addr) ^ ntohl(base.s_addr)) & mask & 0xFFFFFFFFU) == 0;
}

Result<HttpsUrl> read(std::string_view rest) {
    rest = without_fragment(rest);
    const auto path = std::min(rest.find_first_of("/?"), rest.size());
    std::string_view authority = rest.substr(0, path);
    HttpsUrl url;
    if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
        url.credentials = Secret{percent_decoded(authority.substr(0, at))};
        authority.remove_prefix(at + 1);
    }
    const auto place = place_of(authority);
    if (!place)
        return misconfigured("the URL names no host that can be asked");
    url.host = place->host;
    url.port = place->port.value_or(https_port);
    url.target = std::string{rest.substr(path)};
    if (!url.target.starts_with('/'))
        url.target.insert(0, "/");
    if (!is_target(url.target))
        return misconfigured("the URL holds blanks, control characters or letters beyond ASCII",
                             "write them percent-encoded");
    return url;
}

} // namespace

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~') {
            out += c;
        } else {
            out += '%';
            out += digits[byte >> 4U];
            out += digits[byte & 15U];
        }
    }
    return out;
}

Result<HttpsUrl> parse_https_url(std::string_view text) {
    if (text.size() > longest_url)
        return misconfigured("the URL is longer than " + std::to_string(longest_url) +
                             " characters");
    const auto rest = without_scheme(text, "https://");
    if (!rest)
        return misconfigured("the URL does not begin with https://: nothing else is fetched");
    return read(*rest);
}

std::string authority_of(const std::string& host, std::uint16_t port, std::uint16_t usual) {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + (port == usual ? "" : ":" + std::to_string(port));
}

std::string shown(const HttpsUrl& url) {
    const std::string_view target = url.target;
    return printable("https://" + authority_of(url.host, url.port, https_port) +
                         std::string{target.substr(0, target.find('?'))},
                     300);
}

Result<HttpsUrl> redirected(const HttpsUrl& from, std::string_view location) {
    const auto bad = [&](std::string_view why) {
        return permanent(shown(from) + " redirects to " + std::string{why});
    };
    location = without_fragment(trim(location));
    if (location.size() > longest_url)
        return bad("a URL of more than " + std::to_string(longest_url) + " characters");
    Result<HttpsUrl> to = from;
    if (const auto rest = without_scheme(location, "https://")) {
        to = read(*rest);
    } else if (location.starts_with("//")) {
        to = read(location.substr(2));
    } else if (without_scheme(location, "http://")) {
        return bad("http, which is not followed");
    } else if (location.substr(0, location.find_first_of("/?")).find(':') !=
               std::string_view::npos) {
        return bad("something that is not https");
    } else if (location.empty()) {
        return bad("nowhere");
    } else {
        const std::string path = from.target.substr(0, from.target.find('?'));
        std::string target{location};
        if (location.starts_with('?'))
            target.insert(0, path);
        else if (!location.starts_with('/'))
            target.insert(0, path.substr(0, path.rfind('/') + 1));
        to->target = without_dots(target);
        if (!is_target(to->target))
            return bad("a URL with blanks or control characters");
        return to;
    }
    if (!to)
        return bad("a URL that cannot be read: " + to.error().message);
    const bool same_place = to->host == from.host && to->port == from.port;
    to->credentials = same_place ? from.credentials : Secret{};
    return to;
}

Result<ProxyAddress> parse_proxy(std::string_view text) {
    auto rest = without_scheme(text, "http://");
    const auto scheme = rest ? ProxyScheme::http : ProxyScheme::https;
    if (!rest)
        rest = without_scheme(text, "https://");
    if (!rest)
        return misconfigured("[network] proxy: a proxy is reached over http:// or https://",
                             "write it as http://HOST:PORT");
    if (rest->ends_with('/'))
        rest->remove_suffix(1);
    const auto place = place_of(*rest);
    if (!place || !place->port)
        return misconfigured("[network] proxy names no host and port",
                             "write it as http://HOST:PORT");
    return ProxyAddress{place->host, *place->port, scheme};
}

bool is_reached_directly(std::string_view host, std::span<const std::string> no_proxy) {
    return std::any_of(no_proxy.begin(), no_proxy.end(), [&](const std::string& entry) {
        std::string domain = lower(trim(entry));
        if (domain.starts_with('.'))
            domain.erase(0, 1);
        if (is_within(std::string{host}, domain))
            return true;
        if (domain.empty() || !host.ends_with(domain))
            return false;
        return host.size() == domain.size() || host[host.size() - domain.size() - 1] == '.';
    });
}

} // namespace agent
