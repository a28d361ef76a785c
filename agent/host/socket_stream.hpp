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
    SocketStream(const SocketStream&) = delete;
    SocketStream& operator=(const SocketStream&) = delete;
    ~SocketStream() override;

    boost::asio::awaitable<Result<std::size_t>> read_some(std::span<char> buffer) override;
    boost::asio::awaitable<Result<void>> write_all(std::string_view bytes) override;
    boost::asio::awaitable<Result<void>> finish_writing() override;
    void close() override;
    void expires_after(std::optional<std::chrono::milliseconds> limit) override;

    // For protocols that do their own system calls on the (non-blocking) descriptor: first try, and
    // when that would block, wait here and try again.
    boost::asio::awaitable<Result<void>> wait(Readiness readiness);
    [[nodiscard]] int descriptor();

private:
    struct State;
    // Shared with the deadline's handler, which may be queued when the stream is destroyed.
    std::shared_ptr<State> state_;
};

} // namespace agent
