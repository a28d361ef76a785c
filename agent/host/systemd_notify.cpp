#include "agent/host/systemd_notify.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace agent {
namespace {

std::string take_variable(const char* name) {
    const char* value = std::getenv(name);
    std::string taken = value ? value : "";
    ::unsetenv(name);
    return taken;
}

std::optional<std::int64_t> number(std::string_view text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

} // namespace

SystemdNotifier::SystemdNotifier() {
    const std::string pid = take_variable("WATCHDOG_PID");
    const auto period = number(take_variable("WATCHDOG_USEC"));
    if (period && *period > 0 && (pid.empty() || number(pid) == ::getpid()))
        watchdog_ = std::chrono::microseconds{*period};

    std::string address = take_variable("NOTIFY_SOCKET");
    const bool usable = address.size() > 1 && address.size() < sizeof(sockaddr_un::sun_path) &&
                        (address.front() == '/' || address.front() == '@');
    if (!usable)
        return;
    address_ = std::move(address);
    socket_ = UniqueFd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
}

void SystemdNotifier::ready() {
    send("READY=1");
}

void SystemdNotifier::status(std::string_view text) {
    send("STATUS=" + std::string{text.substr(0, text.find('\n'))});
}

void SystemdNotifier::stopping() {
    send("STOPPING=1");
}

void SystemdNotifier::alive() {
    send("WATCHDOG=1");
}

void SystemdNotifier::send(const std::string& message) const {
    if (!socket_)
        return;
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::copy(address_.begin(), address_.end(), std::begin(to.sun_path));
    if (address_.front() == '@')
        to.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
    // Waits for room like sd_notify: a READY=1 that is lost would leave the unit starting for ever.
    while (::sendto(socket_.get(),
                    message.data(),
                    message.size(),
                    MSG_NOSIGNAL,
                    reinterpret_cast<const sockaddr*>(&to),
                    length) < 0 &&
           errno == EINTR) {
    }
}

} // namespace agent
