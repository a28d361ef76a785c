#include "agent/host/control_socket.hpp"

#include "agent/base/log.hpp"
#include "agent/base/stop.hpp"
#include "agent/base/unique_fd.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

namespace agent {
namespace {

namespace asio = boost::asio;
using Descriptor = asio::posix::stream_descriptor;

constexpr auto quietly = asio::as_tuple(asio::use_awaitable);
constexpr auto pause_after_failed_accept = std::chrono::seconds{1};
constexpr auto client_patience = std::chrono::seconds{60};
constexpr int backlog = 16;

Result<sockaddr_un> address_of(const std::filesystem::path& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    if (text.size() >= sizeof address.sun_path)
        return permanent("the path of the control socket is too long: " + text);
    text.copy(address.sun_path, text.size());
    return address;
}

const sockaddr* generic(const sockaddr_un& address) {
    return reinterpret_cast<const sockaddr*>(&address);
}

ControlAnswer refusal(ControlAnswer::Outcome outcome, const Error& error) {
    return {outcome, error.message + (error.next.empty() ? "" : "; " + error.next)};
}

// The one answer of a connection: it always has room, and a client that left is no loss.
void send(int socket, const ControlAnswer& answer) {
    const std::string text = write_control_answer(answer);
    [[maybe_unused]] const auto sent =
        ::send(socket, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

// A connected client. Shared with its timer's handler, which may be queued when the session ends.
struct Client {
    Client(asio::io_context& io, UniqueFd connected, const ucred& who)
        : socket{io, connected.release()}, timer{io}, uid{who.uid}, pid{who.pid} {}
    Descriptor socket;
    asio::steady_timer timer;
    uid_t uid;
    pid_t pid;
    bool late = false;
};

} // namespace

struct ControlSocket::State {
    State(asio::io_context& loop,
          std::filesystem::path place,
          std::stop_token stopping,
          const Limits& bounds)
        : io{loop}, path{std::move(place)}, stop{std::move(stopping)}, limits{bounds},
          listener{loop}, pause{loop}, ended{loop, asio::steady_timer::time_point::max()} {}

    asio::awaitable<void> accept();
    void admit(UniqueFd connected);
    void start(const std::shared_ptr<Client>& client);
    asio::awaitable<void> converse(std::shared_ptr<Client> client);
    void end_all();

    asio::io_context& io;
    std::filesystem::path path;
    std::stop_token stop;
    Limits limits;
    Descriptor listener;
    asio::steady_timer pause;
    asio::steady_timer ended; // rings whenever a client is gone
    Handler handler;
    std::set<std::shared_ptr<Client>> clients;
};

Result<std::unique_ptr<ControlSocket>> ControlSocket::listen(asio::io_context& io,
                                                             std::filesystem::path path,
                                                             std::stop_token stop,
                                                             Limits limits) {
    const std::string doing = "listening on " + path.string();
    // Under its name only once it can be used by everybody.
    const std::filesystem::path unfinished = path.string() + ".new";
    const auto address = address_of(unfinished);
    if (!address)
        return address.error();
    UniqueFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    ::unlink(unfinished.c_str());
    if (!socket || ::bind(socket.get(), generic(*address), sizeof *address) != 0 ||
        ::chmod(unfinished.c_str(), 0666) != 0 || ::listen(socket.get(), backlog) != 0 ||
        std::rename(unfinished.c_str(), path.c_str()) != 0)
        return system_error(doing, errno);
    auto state = std::make_unique<State>(io, std::move(path), std::move(stop), limits);
    state->listener.assign(socket.release());
    return std::unique_ptr<ControlSocket>{new ControlSocket{std::move(state)}};
}

ControlSocket::ControlSocket(std::unique_ptr<State> state) : state_{std::move(state)} {}

ControlSocket::~ControlSocket() {
    ::unlink(state_->path.c_str());
}

asio::awaitable<void> ControlSocket::serve(Handler handler) {
    State& state = *state_;
    state.handler = std::move(handler);
    {
        const std::stop_callback on_stop{state.stop, [&state] { state.end_all(); }};
        co_await state.accept();
    }
    while (!state.clients.empty())
        co_await state.ended.async_wait(quietly);
    throw Stopped{};
}

void ControlSocket::State::end_all() {
    boost::system::error_code ignored;
    listener.cancel(ignored);
    pause.cancel();
    for (const auto& client : clients)
        client->socket.cancel(ignored);
}

asio::awaitable<void> ControlSocket::State::accept() {
    while (!stop.stop_requested()) {
        co_await listener.async_wait(Descriptor::wait_read, quietly);
        if (stop.stop_requested())
            co_return;
        UniqueFd connected{
            ::accept4(listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (connected) {
            admit(std::move(connected));
            continue;
        }
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
            continue;
        log::warning(system_error("accepting on " + path.string(), errno).message);
        pause.expires_after(pause_after_failed_accept);
        co_await pause.async_wait(quietly);
    }
}

void ControlSocket::State::admit(UniqueFd connected) {
    ucred who{};
    socklen_t length = sizeof who;
    if (::getsockopt(connected.get(), SOL_SOCKET, SO_PEERCRED, &who, &length) != 0)
        return;
    unsigned of_user = 0;
    for (const auto& client : clients)
        of_user += client->uid == who.uid ? 1 : 0;
    if (who.uid != 0 && (clients.size() >= limits.clients || of_user >= limits.clients_of_user)) {
        send(connected.get(),
             {ControlAnswer::Outcome::failed, "too many are asking at once; try again"});
        return;
    }
    start(std::make_shared<Client>(io, std::move(connected), who));
}

void ControlSocket::State::start(const std::shared_ptr<Client>& client) {
    clients.insert(client);
    client->timer.expires_after(limits.patience);
    client->timer.async_wait([client](const boost::system::error_code& code) {
        if (code)
            return;
        client->late = true;
        boost::system::error_code ignored;
        client->socket.cancel(ignored);
    });
    asio::co_spawn(io, converse(client), [this, client](const std::exception_ptr& thrown) {
        client->timer.cancel();
        clients.erase(client);
        ended.cancel();
        try {
            if (thrown)
                std::rethrow_exception(thrown);
        } catch (const Stopped&) {
            // as asked
        } catch (const std::exception& bug) {
            log::error(std::string{"a control request ended by a bug: "} + bug.what());
        }
    });
}

asio::awaitable<void> ControlSocket::State::converse(std::shared_ptr<Client> client) {
    using Outcome = ControlAnswer::Outcome;
    const int socket = client->socket.native_handle();
    std::array<char, control_message_limit> buffer{};
    ssize_t length = -1;
    while (length < 0) {
        co_await client->socket.async_wait(Descriptor::wait_read, quietly);
        if (client->late || stop.stop_requested()) {
            send(socket,
                 {Outcome::failed,
                  client->late ? "no request came in time" : "the agent is stopping"});
            co_return;
        }
        // MSG_TRUNC: the message's own length, also when it did not fit.
        length = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
        if (length < 0 && errno != EAGAIN && errno != EINTR)
            co_return;
    }
    client->timer.cancel();
    if (length == 0)
        co_return; // left, or said nothing
    const auto size = static_cast<std::size_t>(length);
    if (size > buffer.size()) {
        send(socket,
             {Outcome::invalid,
              "a control message has at most " + std::to_string(buffer.size()) + " bytes"});
        co_return;
    }
    auto request = parse_control_request({buffer.data(), size});
    if (!request) {
        send(socket, refusal(Outcome::invalid, request.error()));
        co_return;
    }
    const ControlPeer peer{client->uid, client->pid};
    const ControlAnswer answer = co_await handler(peer, std::move(*request));
    send(socket, answer);
}

Result<ControlAnswer> UnixControlClient::ask(const ControlRequest& request) {
    const auto address = address_of(path_);
    if (!address)
        return address.error();
    const UniqueFd socket{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)};
    if (!socket)
        return system_error("making a socket", errno);
    const timeval patience{client_patience.count(), 0};
    for (const int direction : {SO_SNDTIMEO, SO_RCVTIMEO}) // the first bounds connect(2) as well
        ::setsockopt(socket.get(), SOL_SOCKET, direction, &patience, sizeof patience);
    if (::connect(socket.get(), generic(*address), sizeof *address) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return transient("the agent is not running",
                             "start it: `sudo systemctl start agent`, then see `agent status`");
        return system_error("connecting to " + path_.string(), errno);
    }
    const std::string text = write_control_request(request);
    if (text.size() > control_message_limit)
        return permanent("the request is longer than " + std::to_string(control_message_limit) +
                         " bytes");
    // Without EPIPE: whoever closed at once has said why.
    [[maybe_unused]] const auto sent = ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL);
    std::array<char, control_message_limit> buffer{};
    const auto length = ::recv(socket.get(), buffer.data(), buffer.size(), 0);
    if (length <= 0)
        return transient("the agent gave no answer", "see `systemctl status agent`");
    auto answer = parse_control_answer({buffer.data(), static_cast<std::size_t>(length)});
    if (!answer)
        return context(answer.error(), "reading the agent's answer");
    return answer;
}

} // namespace agent
