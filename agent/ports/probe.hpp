// Port: is Jupyter answering, and is it ours?
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"
#include "agent/ports/http.hpp"

#include <boost/asio/awaitable.hpp>

#include <variant>

namespace agent {

// The three-part probe: the listener belongs to the expected user (UnixEndpoint::owner; behind the
// front: the certificate), GET /api/contents without a token is refused, GET /api/status with it is
// answered 200. Bodies are bounded and not parsed. The Error says which part failed and what came
// back. An /api/contents that is *not* refused is a permanent Error: Jupyter is open. Source: facts
// measured on notebook 5.7 … jupyter_server 2.20: unauthenticated 403, token 200.
[[nodiscard]] boost::asio::awaitable<Result<void>>
probe_jupyter(HttpClient& http,
              std::variant<TcpEndpoint, TlsEndpoint, UnixEndpoint> endpoint,
              Secret token,
              std::chrono::milliseconds deadline);

// The third part alone, for a process that has passed all three: one process does not change its
// mind about strangers, and each refusal of one is two warnings in Jupyter's log.
[[nodiscard]] boost::asio::awaitable<Result<void>>
ask_proven_jupyter(HttpClient& http,
                   std::variant<TcpEndpoint, TlsEndpoint, UnixEndpoint> endpoint,
                   Secret token,
                   std::chrono::milliseconds deadline);

} // namespace agent
