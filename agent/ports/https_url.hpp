// Owns the addresses of what is fetched: how one is read, said, followed, and when the proxy is
// passed by.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace agent {

struct HttpsUrl {
    std::string host; // a name or an address, in lower case, IPv6 without its brackets
    std::uint16_t port = 443;
    std::string target = "/"; // path and query as they are sent; the query may be a secret
    Secret credentials;       // "user:password", decoded; for this host and port alone
};

// Misconfigured for everything that is not https. No word of the message is the user's password or
// the query.
[[nodiscard]] Result<HttpsUrl> parse_https_url(std::string_view text);

// For people and logs: without user, password and query.
[[nodiscard]] std::string shown(const HttpsUrl& url);

// "host:port", IPv6 in brackets; the port only where it is not `usual`.
[[nodiscard]] std::string
authority_of(const std::string& host, std::uint16_t port, std::uint16_t usual);

// Where a Location header leads (RFC 9110 §10.2.2, RFC 3986 §5.2). Permanent when that is not
// https. Credentials stay only on the same host and port, and a Location cannot bring new ones.
[[nodiscard]] Result<HttpsUrl> redirected(const HttpsUrl& from, std::string_view location);

// Every byte but RFC 3986's unreserved ones as %XX: one component of a path or a query.
[[nodiscard]] std::string percent_encoded(std::string_view text);

enum class ProxyScheme { http, https }; // https: what is said to the proxy itself is encrypted too
struct ProxyAddress {
    std::string host;
    std::uint16_t port = 0;
    ProxyScheme scheme = ProxyScheme::http;
};
// "http://host:port" or "https://host:port": what is sent through it is TLS of its own.
[[nodiscard]] Result<ProxyAddress> parse_proxy(std::string_view text);

// Whether an entry is the host or a domain above it (".example.com" and "example.com" are the
// same), or a network that it lies in ("10.0.0.0/8").
[[nodiscard]] bool is_reached_directly(std::string_view host,
                                       std::span<const std::string> no_proxy);

} // namespace agent
