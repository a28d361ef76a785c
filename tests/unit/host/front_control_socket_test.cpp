#include "agent/host/front_control_socket.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <optional>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace agent {
namespace {

namespace asio = boost::asio;

// As systemd makes it.
int listening_at(const std::filesystem::path& path) {
    const int socket = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(socket, 8) == 0);
    return socket;
}

asio::awaitable<void> serve(FrontControlListener& listener, std::vector<std::string>& seen) {
    while (true) {
        const auto request = co_await listener.next();
        if (!request)
            co_return;
        const auto identity = read_front_identity((*request)->message());
        seen.push_back(identity ? identity->certificate.reveal() : identity.error().message);
        (*request)->answer(write_front_answer(identity ? Result<std::string>{"f00d"}
                                                       : Result<std::string>{identity.error()}));
    }
}

struct Ends {
    explicit Ends(uid_t sender = ::geteuid())
        : listener{listen_for_front_control(
              io.get_executor(), listening_at(temp.path() / "control"), sender)},
          control{io.get_executor(), temp.path() / "control"} {
        asio::co_spawn(
            io, serve(*listener, seen), [this](const std::exception_ptr&) { ended = true; });
    }
    ~Ends() {
        listener->close();
        io.restart();
        io.poll();
        CHECK(ended);
    }
    Ends(const Ends&) = delete;
    Ends& operator=(const Ends&) = delete;

    Result<std::string> hand_over(std::string certificate, std::string token) {
        FrontIdentity identity{Secret{std::move(certificate)}, Secret{std::move(token)}};
        return test::run_coroutine(io, control.hand_over(std::move(identity)));
    }

    test::TempRoot temp;
    asio::io_context io{1};
    std::unique_ptr<FrontControlListener> listener;
    SocketFrontControl control;
    std::vector<std::string> seen;
    bool ended = false;
};

} // namespace

TEST_CASE("front control: what is handed over arrives whole and is answered", "[unit][host]") {
    Ends ends;
    const std::string large(50'000, 'x');
    CHECK(ends.hand_over(large, "token").value() == "f00d");
    const auto refused = ends.hand_over("certificate", "");
    REQUIRE(refused.has_error());
    CHECK(refused.error().kind == ErrorKind::permanent);
    REQUIRE(ends.seen.size() == 2);
    CHECK(ends.seen[0] == large);
}

TEST_CASE("front control: more than a packet takes is not sent", "[unit][host]") {
    Ends ends;
    const auto refused = ends.hand_over(std::string(70'000, 'x'), "token");
    REQUIRE(refused.has_error());
    CHECK(refused.error().kind == ErrorKind::permanent);
    CHECK(ends.seen.empty());
}

TEST_CASE("front control: anybody else is dropped unread", "[unit][host]") {
    Ends ends{::geteuid() + 1};
    const auto dropped = ends.hand_over("certificate", "token");
    REQUIRE(dropped.has_error());
    CHECK(dropped.error().kind == ErrorKind::transient);
    CHECK(ends.seen.empty());
}

TEST_CASE("front control: nobody there is transient", "[unit][host]") {
    const test::TempRoot temp;
    asio::io_context io{1};
    SocketFrontControl control{io.get_executor(), temp.path() / "control"};
    FrontIdentity identity{Secret{"certificate"}, Secret{"token"}};
    const auto answer = test::run_coroutine(io, control.hand_over(std::move(identity)));
    REQUIRE(answer.has_error());
    CHECK(answer.error().kind == ErrorKind::transient);
}

} // namespace agent
