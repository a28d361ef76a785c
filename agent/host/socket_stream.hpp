// Owns a connected stream socket as a ByteStream: TCP or unix, deadlines, half-close, readiness.
#pragma once

#include "agent/ports/stream.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include <memory>

namespace agent {

enum class Readiness { readable, writable };

class SocketStream final : public ByteStream {
public:
    using Socket = boost::asio::generic::stream_protocol::socket;

    explicit SocketStream(Socket socket);
    SocketStream(SocketStream&&) = default;
    SocketStream(const SocketStream&) = delete;
    SocketStream& operator=(const SocketStream&) = delete;
    ~SocketStream() override;

    Result<std::optional<std::size_t>> try_read(std::span<char> buffer) override;
    Result<std::size_t> try_write(std::string_view bytes) override;
    boost::asio::awaitable<Result<void>> readable() override { return wait(Readiness::readable); }
    boost::asio::awaitable<Result<void>> writable() override { return wait(Readiness::writable); }
    boost::asio::awaitable<Result<void>> finish_writing() override;
    void close() override;
    void interrupt() override;
    void expires_after(std::optional<std::chrono::milliseconds> limit) override;

    // For protocols that do their own system calls on the (non-blocking) descriptor: unless ended()
    // try, and when that would block, wait here and try again.
    boost::asio::awaitable<Result<void>> wait(Readiness readiness);
    // Why there is no descriptor to try any more: closed, or past its deadline.
    [[nodiscard]] std::optional<Error> ended(std::string_view doing) const;
    [[nodiscard]] int descriptor();
    [[nodiscard]] bool expired() const; // its deadline has passed

private:
    struct State;
    // Shared with the deadline's handler, which may be queued when the stream is destroyed.
    std::shared_ptr<State> state_;
};

} // namespace agent
