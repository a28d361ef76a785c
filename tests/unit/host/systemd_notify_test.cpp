#include "agent/base/unique_fd.hpp"
#include "agent/host/systemd_notify.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace agent {
namespace {

UniqueFd listen_at(const std::string& address) {
    UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    REQUIRE(fd);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    address.copy(std::begin(name.sun_path), sizeof name.sun_path - 1);
    if (address.front() == '@')
        name.sun_path[0] = '\0';
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), length) == 0);
    return fd;
}

std::string received(const UniqueFd& fd) {
    std::array<char, 256> buffer{};
    const ssize_t length = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    return length < 0 ? "nothing" : std::string(buffer.data(), static_cast<std::size_t>(length));
}

TEST_CASE("systemd notify: each word is one datagram to NOTIFY_SOCKET", "[unit][host]") {
    const test::TempRoot directory;
    std::string address;
    SECTION("a path") {
        address = (directory.path() / "notify").string();
    }
    SECTION("an abstract name") {
        address = "@agent-test-notify-" + std::to_string(::getpid());
    }
    const auto listener = listen_at(address);
    REQUIRE(::setenv("NOTIFY_SOCKET", address.c_str(), 1) == 0);

    SystemdNotifier notifier;
    CHECK(received(listener) == "nothing");
    notifier.ready();
    CHECK(received(listener) == "READY=1");
    notifier.status("serving 0123456789ab\nREADY=1");
    CHECK(received(listener) == "STATUS=serving 0123456789ab");
    notifier.alive();
    CHECK(received(listener) == "WATCHDOG=1");
    notifier.stopping();
    CHECK(received(listener) == "STOPPING=1");
}

TEST_CASE("systemd notify: children do not inherit the socket or the watchdog", "[unit][host]") {
    ::setenv("NOTIFY_SOCKET", "/run/nowhere/notify", 1);
    ::setenv("WATCHDOG_USEC", "60000000", 1);
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);

    SystemdNotifier notifier;
    notifier.ready(); // nobody listens there: no failure
    CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
    CHECK(std::getenv("WATCHDOG_USEC") == nullptr);
    CHECK(std::getenv("WATCHDOG_PID") == nullptr);
    CHECK(notifier.watchdog() == std::chrono::seconds{60});
}

TEST_CASE("systemd notify: a watchdog of another process is not ours", "[unit][host]") {
    ::setenv("WATCHDOG_USEC", "60000000", 1);
    ::setenv("WATCHDOG_PID", "1", 1);
    CHECK(SystemdNotifier{}.watchdog() == std::nullopt);
}

TEST_CASE("systemd notify: without systemd nothing happens", "[unit][host]") {
    ::unsetenv("NOTIFY_SOCKET");
    SystemdNotifier notifier;
    notifier.ready();
    notifier.status("nobody reads this");
    CHECK(notifier.watchdog() == std::nullopt);
}

} // namespace
} // namespace agent
