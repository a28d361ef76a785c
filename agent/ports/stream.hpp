// Port: byte streams — accepted from the network, and the one to the backend behind the front.
// One thread: at most one read and one write are pending on a stream at a time, and a stream
// outlives what is pending on it.
#pragma once

#include "agent/base/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace agent {

// Cancellation is close(), from whoever owns the session: what is pending and all that comes later
// fails with a transient Error. Nothing here throws Stopped.
//
// An idle stream costs its user no buffer: try, and when nothing can be had, wait and try again.
class ByteStream {
public:
    virtual ~ByteStream() = default;
    // What is there now: at least one byte; 0: the peer has ended its direction in order (the other
    // one still works); nullopt: nothing yet.
    virtual Result<std::optional<std::size_t>> try_read(std::span<char> buffer) = 0;
    // How many of the bytes went; 0: none for now, and the same bytes come first next time.
    virtual Result<std::size_t> try_write(std::string_view bytes) = 0;
    // Until trying again may have another outcome.
    virtual boost::asio::awaitable<Result<void>> readable() = 0;
    virtual boost::asio::awaitable<Result<void>> writable() = 0;

    // As try_read(), waiting for it; never nullopt. May complete without suspending.
    boost::asio::awaitable<Result<std::size_t>> read_some(std::span<char> buffer);
    boost::asio::awaitable<Result<void>> write_all(std::string_view bytes);

    // Half-close: the peer reads the end of the stream; reading goes on.
    virtual boost::asio::awaitable<Result<void>> finish_writing() = 0;
    virtual void close() = 0;
    // What is waited for now fails with a transient Error; the stream stays as it is.
    virtual void interrupt() = 0;
    // From now; what is pending or begun after it has passed fails with a transient Error. Replaces
    // the deadline before it; nullopt: none, as at the beginning.
    virtual void expires_after(std::optional<std::chrono::milliseconds> limit) = 0;
};

// A connection as it was accepted: plain until start_tls() has succeeded.
class Incoming : public ByteStream {
public:
    // What a limit counts by: an IPv4 address, the /64 of an IPv6 one.
    [[nodiscard]] virtual const std::string& peer_network() const = 0;
    // The first byte, left where it is; nullopt: the peer ended without one.
    virtual boost::asio::awaitable<Result<std::optional<unsigned char>>> peek() = 0;
    // The server's side of the handshake; call once, before anything was read.
    virtual boost::asio::awaitable<Result<void>> start_tls() = 0;
};

class Listener {
public:
    virtual ~Listener() = default;
    // A transient Error says that this accept failed (no descriptors left), or that it was closed.
    virtual boost::asio::awaitable<Result<std::unique_ptr<Incoming>>> accept() = 0;
    virtual void close() = 0;
};

struct BackendConnection {
    std::unique_ptr<ByteStream> stream;
    pid_t process = 0; // that listens, as the kernel says for this very connection
};

class Backend {
public:
    virtual ~Backend() = default;
    // Permanent when the listener belongs to another user than the expected one; nothing was sent
    // to it then. Transient when nobody listens.
    virtual boost::asio::awaitable<Result<BackendConnection>>
    connect(std::chrono::milliseconds deadline) = 0;
};

} // namespace agent
