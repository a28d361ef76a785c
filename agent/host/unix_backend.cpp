#include "agent/host/unix_backend.hpp"

#include "agent/base/unique_fd.hpp"
#include "agent/host/socket_stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cerrno>
#include <cstring>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>

namespace agent {

namespace asio = boost::asio;

UnixBackend::UnixBackend(asio::any_io_executor executor, std::filesystem::path path, uid_t owner)
    : executor_{std::move(executor)}, path_{std::move(path)}, owner_{owner} {}

asio::awaitable<Result<BackendConnection>>
UnixBackend::connect(std::chrono::milliseconds deadline) {
    const std::string path = path_.string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        co_return misconfigured("The path of the backend's socket is too long: " + path + ".");
    path.copy(address.sun_path, path.size());

    UniqueFd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket)
        co_return system_error("making a socket", errno);
    // Not Asio's connect: EAGAIN (a full backlog) never becomes a connection on a unix socket, and
    // Asio takes the socket's writability for success.
    const auto end = std::chrono::steady_clock::now() + deadline;
    asio::steady_timer pause{executor_};
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    while (::connect(socket.get(), where, sizeof address) != 0) {
        if (errno != EAGAIN)
            co_return transient("Connecting to " + path + " failed: " + std::strerror(errno) + ".");
        if (std::chrono::steady_clock::now() >= end)
            co_return transient("Connecting to " + path + " failed: its backlog stays full.");
        pause.expires_after(std::chrono::milliseconds{20});
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }

    ucred peer{};
    socklen_t length = sizeof peer;
    if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        co_return system_error("asking who listens on " + path, errno);
    if (peer.uid != owner_)
        co_return permanent("The listener on " + path + " belongs to user " +
                                std::to_string(peer.uid) + ", not to " + std::to_string(owner_) +
                                ".",
                            "End the process that took Jupyter's socket.");
    BackendConnection connection;
    connection.stream = std::make_unique<SocketStream>(
        SocketStream::Socket{executor_, asio::local::stream_protocol{}, socket.release()});
    connection.process = peer.pid;
    co_return std::move(connection);
}

} // namespace agent
