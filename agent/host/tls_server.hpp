// Owns the server's side of TLS (OpenSSL): the context, the listening sockets, their connections.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"
#include "agent/ports/stream.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <memory>
#include <vector>

namespace agent {

// TLS 1.2 or newer, forward-secret AEAD suites only, no compression, no renegotiation, HTTP/1.1
// when ALPN is asked. An unexpected end of TCP counts as an end of the stream: what we carry has
// its own framing.
class TlsServer {
public:
    // One PEM: an unencrypted private key and its certificate chain, leaf first. Misconfigured when
    // it is not that.
    static Result<TlsServer> from_pem(const Secret& combined_pem);

    // What handshakes from now on use; sessions go on as they are. Of an Error nothing changes.
    Result<void> replace(const Secret& combined_pem);

    struct State;
    [[nodiscard]] std::shared_ptr<const State> state() const { return *current_; }

private:
    explicit TlsServer(std::shared_ptr<std::shared_ptr<const State>> current)
        : current_{std::move(current)} {}

    std::shared_ptr<std::shared_ptr<const State>> current_; // shared by copies
};

// Takes over a listening TCP socket. Its connections keep the context alive that they began with.
[[nodiscard]] Result<std::unique_ptr<Listener>>
listen_on(const boost::asio::any_io_executor& executor, int listening_socket, TlsServer server);

struct HeldSockets {
    std::vector<int> listeners;
    int control = -1; // listens on a unix socket for packets; -1: none
};

// The sockets that systemd holds for this process (sd_listen_fds(3): LISTEN_PID, LISTEN_FDS, from
// descriptor 3 on), now close-on-exec. Takes the variables out of the environment. Permanent when
// no TCP socket is among them, or one that is of no use.
[[nodiscard]] Result<HeldSockets> sockets_from_systemd();

} // namespace agent
