// Owns the real HTTP client (Beast, asio::ssl): one connection an exchange, closed afterwards.
#pragma once

#include "agent/ports/http.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <stop_token>

namespace agent {

// TLS asks no certificate authority: the SHA-256 of the peer's certificate is the check, and it is
// made before a byte of the request is sent. When `stop` is requested the connection is closed and
// the exchange throws Stopped; whoever has a last word to say then uses a client with another
// token.
class BeastHttpClient final : public HttpClient {
public:
    BeastHttpClient(boost::asio::io_context& io, std::stop_token stop);
    boost::asio::awaitable<Result<HttpResponse>> exchange(HttpRequest request) override;

private:
    boost::asio::io_context& io_;
    std::stop_token stop_;
};

} // namespace agent
