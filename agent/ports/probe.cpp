#include "agent/ports/probe.hpp"

#include "agent/base/text.hpp"

#include <string>
#include <utility>

namespace agent {
namespace {

// Jupyter answers 403 to a Host header that is neither local nor numeric.
std::string host_of(const std::variant<TcpEndpoint, TlsEndpoint, UnixEndpoint>& endpoint) {
    const auto numeric = [](const std::string& address, std::uint16_t port) {
        const bool v6 = address.find(':') != std::string::npos;
        return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
    };
    if (const auto* tcp = std::get_if<TcpEndpoint>(&endpoint))
        return numeric(tcp->address, tcp->port);
    if (const auto* tls = std::get_if<TlsEndpoint>(&endpoint))
        return numeric(tls->address, tls->port);
    return "localhost";
}

} // namespace

boost::asio::awaitable<Result<void>>
probe_jupyter(HttpClient& http,
              std::variant<TcpEndpoint, TlsEndpoint, UnixEndpoint> endpoint,
              Secret token,
              std::chrono::milliseconds deadline) {
    HttpRequest stranger;
    stranger.endpoint = endpoint;
    stranger.host = host_of(endpoint);
    stranger.deadline = deadline / 2;
    stranger.target = "/api/contents";
    const auto refusal = co_await http.exchange(std::move(stranger));
    if (!refusal)
        co_return context(refusal.error(), "asking Jupyter for its files without a token");
    if (refusal->status >= 200 && refusal->status < 300)
        co_return permanent("Jupyter gives its files to anybody: /api/contents without a token was "
                            "answered with status " +
                                std::to_string(refusal->status),
                            "remove what sets an empty password or token in the user's Jupyter "
                            "configuration (~/.jupyter), then `agent retry jupyter_unit`");
    if (refusal->status != 401 && refusal->status != 403)
        co_return transient("Jupyter answered /api/contents without a token with status " +
                            std::to_string(refusal->status) + ", expected 403");

    co_return co_await ask_proven_jupyter(
        http, std::move(endpoint), std::move(token), deadline / 2);
}

boost::asio::awaitable<Result<void>>
ask_proven_jupyter(HttpClient& http,
                   std::variant<TcpEndpoint, TlsEndpoint, UnixEndpoint> endpoint,
                   Secret token,
                   std::chrono::milliseconds deadline) {
    HttpRequest request;
    request.host = host_of(endpoint);
    request.endpoint = std::move(endpoint);
    request.deadline = deadline;
    request.target = "/api/status";
    request.headers.emplace("Authorization", "token " + token.reveal());
    const auto status = co_await http.exchange(std::move(request));
    if (!status)
        co_return context(status.error(), "asking Jupyter for its status");
    if (status->status == 401 || status->status == 403)
        co_return transient("Jupyter refused this machine's token with status " +
                                std::to_string(status->status),
                            "if this lasts, restart it: `systemctl restart agent-jupyter`");
    if (status->status != 200)
        co_return transient("Jupyter answered /api/status with status " +
                            std::to_string(status->status) + ", expected 200");
    co_return Result<void>{};
}

} // namespace agent
