#include "agent/host/front_control_socket.hpp"

#include "agent/base/unique_fd.hpp"
#include "agent/host/socket_stream.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/socket.h>
#include <sys/un.h>

namespace agent {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds to_send{2};
constexpr std::chrono::seconds to_answer{5};

SocketStream stream_of(const asio::any_io_executor& executor, UniqueFd socket) {
    return SocketStream{SocketStream::Socket{
        executor, asio::generic::stream_protocol{AF_UNIX, 0}, socket.release()}};
}

// One packet is what one read gives.
asio::awaitable<Result<std::string>> receive(SocketStream& stream) {
    std::string packet(front_control_limit + 1, '\0');
    const auto got = co_await stream.read_some(packet);
    if (!got)
        co_return got.error();
    if (*got == 0)
        co_return transient("the other end left without a word");
    if (*got > front_control_limit)
        co_return permanent("the packet was larger than " + std::to_string(front_control_limit) +
                            " bytes");
    packet.resize(*got);
    co_return packet;
}

class Request final : public FrontControlRequest {
public:
    Request(SocketStream stream, Secret message)
        : stream_{std::move(stream)}, message_{std::move(message)} {}
    [[nodiscard]] const Secret& message() const override { return message_; }
    void answer(std::string_view text) override { (void)stream_.try_write(text); }

private:
    SocketStream stream_;
    Secret message_;
};

class ControlListener final : public FrontControlListener {
public:
    ControlListener(asio::any_io_executor executor, UniqueFd socket, uid_t sender)
        : executor_{std::move(executor)}, socket_{stream_of(executor_, std::move(socket))},
          sender_{sender} {}

    asio::awaitable<Result<std::unique_ptr<FrontControlRequest>>> next() override;
    void close() override { socket_.close(); }

private:
    asio::any_io_executor executor_;
    SocketStream socket_;
    uid_t sender_;
};

asio::awaitable<Result<std::unique_ptr<FrontControlRequest>>> ControlListener::next() {
    while (true) {
        if (const auto ready = co_await socket_.readable(); !ready)
            co_return context(ready.error(), "listening for another certificate");
        UniqueFd accepted{
            ::accept4(socket_.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (!accepted) {
            if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
                continue;
            co_return system_error("accepting on the front's control socket", errno);
        }
        ucred peer{};
        socklen_t length = sizeof peer;
        if (::getsockopt(accepted.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 ||
            peer.uid != sender_)
            continue;
        auto stream = stream_of(executor_, std::move(accepted));
        stream.expires_after(to_send);
        auto packet = co_await receive(stream);
        if (!packet)
            continue;
        std::unique_ptr<FrontControlRequest> request =
            std::make_unique<Request>(std::move(stream), Secret{std::move(*packet)});
        co_return std::move(request);
    }
}

} // namespace

asio::awaitable<Result<std::string>> SocketFrontControl::hand_over(FrontIdentity identity) {
    const std::string path = path_.string();
    const std::string doing = "handing the certificate to the front through " + path;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        co_return permanent("the path of the front's control socket is too long: " + path);
    path.copy(address.sun_path, path.size());
    const Secret message = write_front_identity(identity);
    if (message.reveal().size() > front_control_limit)
        co_return permanent("the certificate and its chain are larger than the front takes",
                            "leave out of the PEM what is neither key nor chain");

    UniqueFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!socket)
        co_return system_error("making a socket", errno);
    const auto* where = reinterpret_cast<const sockaddr*>(&address);
    if (::connect(socket.get(), where, sizeof address) != 0)
        co_return context(transient(std::strerror(errno)), doing);
    auto stream = stream_of(executor_, std::move(socket));
    stream.expires_after(to_answer);
    if (const auto sent = co_await stream.write_all(message.reveal()); !sent)
        co_return context(sent.error(), doing);
    const auto packet = co_await receive(stream);
    if (!packet)
        co_return context(transient(packet.error().message), doing);
    co_return read_front_answer(*packet);
}

std::unique_ptr<FrontControlListener> listen_for_front_control(
    const asio::any_io_executor& executor, int listening_socket, uid_t sender) {
    return std::make_unique<ControlListener>(executor, UniqueFd{listening_socket}, sender);
}

} // namespace agent
