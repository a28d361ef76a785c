// Port: one HTTP/1.1 exchange over TCP, TLS or a unix socket.
#pragma once

#include "agent/base/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>

namespace agent {

struct TcpEndpoint {
    std::string address; // a numeric address: nothing here asks DNS
    std::uint16_t port = 80;
};
// TLS 1.2 or newer, and the peer's certificate must have exactly this SHA-256 (lower-case hex,
// DER).
struct TlsEndpoint {
    std::string address;
    std::uint16_t port = 443;
    std::string certificate_sha256;
};
struct UnixEndpoint {
    std::filesystem::path path;
    // The listener's user must be this one (SO_PEERCRED), else the exchange fails before a byte is
    // sent.
    std::optional<uid_t> owner;
};

struct HttpRequest {
    std::string method = "GET";
    std::variant<TcpEndpoint, TlsEndpoint, UnixEndpoint> endpoint;
    std::string host;   // the Host header
    std::string target; // path and query
    std::map<std::string, std::string> headers;
    std::string body;
    std::chrono::milliseconds deadline{std::chrono::seconds{10}}; // for all of it
    std::size_t body_limit = 1'048'576;
};

struct HttpResponse {
    unsigned status = 0;
    std::map<std::string, std::string> headers; // names in lower case; of repeated ones the first
    std::string body;
    [[nodiscard]] std::string header(const std::string& name) const;
};

class HttpClient {
public:
    virtual ~HttpClient() = default;
    // Any complete response is a success, whatever its status; redirects are not followed, no proxy
    // is used. Refused, reset, cut short, too large or late is a transient Error; a foreign
    // certificate or a foreign listener is a permanent one. Throws Stopped when the process is
    // asked to stop.
    virtual boost::asio::awaitable<Result<HttpResponse>> exchange(HttpRequest request) = 0;
};

} // namespace agent
