#include "agent/host/socket_stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include <sys/socket.h>

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
    if (state_)
        SocketStream::close();
}

Result<std::optional<std::size_t>> SocketStream::try_read(std::span<char> buffer) {
    if (auto end = ended("reading"))
        return *std::move(end);
    const auto got = ::recv(descriptor(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got >= 0)
        return std::optional{static_cast<std::size_t>(got)};
    if (errno == EAGAIN || errno == EINTR)
        return std::optional<std::size_t>{};
    return transient(std::string{"reading failed: "} + std::strerror(errno) + ".");
}

Result<std::size_t> SocketStream::try_write(std::string_view bytes) {
    if (auto end = ended("writing"))
        return *std::move(end);
    const auto sent = ::send(descriptor(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0)
        return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == EINTR)
        return std::size_t{0};
    return transient(std::string{"writing failed: "} + std::strerror(errno) + ".");
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

void SocketStream::interrupt() {
    boost::system::error_code ignored;
    state_->socket.cancel(ignored);
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

std::optional<Error> SocketStream::ended(std::string_view doing) const {
    if (state_->usable())
        return std::nullopt;
    return state_->error(doing, {});
}

bool SocketStream::expired() const {
    return state_->expired;
}

int SocketStream::descriptor() {
    return state_->socket.native_handle();
}

} // namespace agent
