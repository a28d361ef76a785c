#include "agent/host/socket_stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <cstdint>

namespace agent {
namespace {

namespace asio = boost::asio;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

} // namespace

struct SocketStream::State {
    explicit State(Socket connected) : socket{std::move(connected)}, timer{socket.get_executor()} {}

    [[nodiscard]] bool usable() const { return !expired && socket.is_open(); }
    [[nodiscard]] Error error(std::string_view doing, const boost::system::error_code& code) const {
        const std::string start{doing};
        if (expired)
            return transient(start + " took too long.");
        if (!socket.is_open() || code == asio::error::operation_aborted)
            return transient(start + " ended: the connection was closed.");
        return transient(start + " failed: " + code.message() + ".");
    }

    Socket socket;
    asio::steady_timer timer;
    std::uint64_t deadline = 0; // counts expires_after(): an outdated handler knows itself by it
    bool expired = false;
};

SocketStream::SocketStream(Socket socket) : state_{std::make_shared<State>(std::move(socket))} {
    boost::system::error_code ignored;
    state_->socket.non_blocking(true, ignored);
}

SocketStream::~SocketStream() {
    SocketStream::close();
}

asio::awaitable<Result<std::size_t>> SocketStream::read_some(std::span<char> buffer) {
    const auto state = state_;
    if (!state->usable())
        co_return state->error("reading", {});
    const auto [code, count] =
        co_await state->socket.async_read_some(asio::buffer(buffer.data(), buffer.size()), quietly);
    if (code == asio::error::eof)
        co_return std::size_t{0};
    if (code)
        co_return state->error("reading", code);
    co_return count;
}

asio::awaitable<Result<void>> SocketStream::write_all(std::string_view bytes) {
    const auto state = state_;
    if (!state->usable())
        co_return state->error("writing", {});
    const auto [code, count] = co_await asio::async_write(
        state->socket, asio::buffer(bytes.data(), bytes.size()), quietly);
    if (code)
        co_return state->error("writing", code);
    co_return Result<void>{};
}

asio::awaitable<Result<void>> SocketStream::finish_writing() {
    boost::system::error_code code;
    state_->socket.shutdown(Socket::shutdown_send, code);
    if (code)
        co_return state_->error("ending the stream", code);
    co_return Result<void>{};
}

void SocketStream::close() {
    ++state_->deadline;
    state_->timer.cancel();
    boost::system::error_code ignored;
    state_->socket.close(ignored);
}

void SocketStream::expires_after(std::optional<std::chrono::milliseconds> limit) {
    const auto deadline = ++state_->deadline;
    if (!limit) {
        state_->timer.cancel();
        return;
    }
    state_->timer.expires_after(*limit);
    state_->timer.async_wait(
        [watched = std::weak_ptr{state_}, deadline](const boost::system::error_code& code) {
            const auto state = watched.lock();
            if (code || !state || state->deadline != deadline)
                return;
            state->expired = true;
            boost::system::error_code ignored;
            state->socket.cancel(ignored);
        });
}

asio::awaitable<Result<void>> SocketStream::wait(Readiness readiness) {
    const auto state = state_;
    if (!state->usable())
        co_return state->error("waiting for the peer", {});
    const auto type = readiness == Readiness::readable ? Socket::wait_read : Socket::wait_write;
    const auto [code] = co_await state->socket.async_wait(type, quietly);
    if (code || !state->usable())
        co_return state->error("waiting for the peer", code);
    co_return Result<void>{};
}

int SocketStream::descriptor() {
    return state_->socket.native_handle();
}

} // namespace agent
