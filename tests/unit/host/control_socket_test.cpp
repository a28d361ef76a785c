#include "agent/base/stop.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/host/control_socket.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/post.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <cstring>
#include <exception>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Outcome = ControlAnswer::Outcome;
using Verb = ControlRequest::Verb;

namespace {

// The server on a thread of its own, as a daemon; the test's thread is its clients.
class Served {
public:
    explicit Served(ControlSocket::Limits limits = {})
        : socket_{ControlSocket::listen(io_, path(), stop_.get_token(), limits).value()},
          thread_{[this] { run(); }} {}
    Served(const Served&) = delete;
    Served& operator=(const Served&) = delete;
    ~Served() { end(); }

    [[nodiscard]] std::filesystem::path path() const { return root_.path() / "control"; }
    Result<ControlAnswer> ask(const ControlRequest& request) const {
        return UnixControlClient{path()}.ask(request);
    }
    // Its words only once it has ended.
    const std::vector<std::string>& end() {
        if (thread_.joinable()) {
            boost::asio::post(io_, [this] { stop_.request_stop(); });
            thread_.join();
        }
        return seen_;
    }

private:
    boost::asio::awaitable<ControlAnswer> answer(ControlPeer peer, ControlRequest request) {
        if (request.step == "bug")
            throw std::logic_error{"a bug"};
        seen_.push_back(std::to_string(peer.uid) + " " + request.step);
        co_return ControlAnswer{Outcome::accepted, "you asked for " + request.step};
    }
    void run() {
        try {
            run_coroutine(io_, socket_->serve([this](ControlPeer peer, ControlRequest request) {
                return answer(peer, std::move(request));
            }));
        } catch (const Stopped&) {
            seen_.emplace_back("stopped");
        }
    }

    TempRoot root_;
    boost::asio::io_context io_;
    std::stop_source stop_;
    std::unique_ptr<ControlSocket> socket_;
    std::vector<std::string> seen_;
    std::thread thread_;
};

// A client that says what it likes.
class Raw {
public:
    explicit Raw(const Served& served)
        : socket_{::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)} {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        served.path().string().copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(::connect(socket_.get(),
                          static_cast<const sockaddr*>(static_cast<const void*>(&address)),
                          sizeof address) == 0);
    }
    void say(const std::string& text) const {
        REQUIRE(::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(text.size()));
    }
    // Empty: the server left without a word.
    [[nodiscard]] std::string hear() const {
        std::string text(control_message_limit, '\0');
        const auto length = ::recv(socket_.get(), text.data(), text.size(), 0);
        text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
        return text;
    }
    [[nodiscard]] ControlAnswer answer() const { return parse_control_answer(hear()).value(); }

private:
    UniqueFd socket_;
};

} // namespace

TEST_CASE("control socket: a request reaches the handler with its asker, the answer comes back",
          "[unit][host]") {
    Served served;
    struct stat status{};
    REQUIRE(::lstat(served.path().c_str(), &status) == 0);
    CHECK(S_ISSOCK(status.st_mode));
    CHECK((status.st_mode & 07777U) == 0666);
    const auto answer = served.ask({Verb::retry, "python", {}}).value();
    CHECK(answer.outcome == Outcome::accepted);
    CHECK(answer.message == "you asked for python");
    CHECK(served.end() ==
          std::vector<std::string>{std::to_string(::geteuid()) + " python", "stopped"});
}

TEST_CASE("control socket: what is no request is refused and harms nobody", "[unit][host]") {
    Served served;
    const auto refused = [&](const std::string& said, const std::string& why) {
        const Raw client{served};
        client.say(said);
        const auto answer = client.answer();
        CHECK(answer.outcome == Outcome::invalid);
        CHECK_THAT(answer.message, ContainsSubstring(why));
    };
    refused("\x01\xff garbage", "JSON");
    refused(R"({"version":9,"verb":"retry"})", "version 9");
    refused(R"({"version":1,"verb":"retry","step":")" + std::string(5000, 'x') + "\"}",
            "at most 4096 bytes");
    {
        const Raw left{served};
    } // without a word
    CHECK(served.ask({Verb::retry, "bug", {}}).has_error());
    CHECK(served.ask({Verb::retry, "python", {}}).has_value());
    CHECK(served.end().size() == 2);
}

TEST_CASE("control socket: whoever says nothing is sent away, and so are too many",
          "[unit][host]") {
    ControlSocket::Limits limits;
    SECTION("late") {
        limits.patience = 1ms;
        Served served{limits};
        CHECK(Raw{served}.answer().message == "no request came in time");
    }
    SECTION("too many; root comes in all the same") {
        limits.clients_of_user = 2;
        Served served{limits};
        const Raw one{served};
        const Raw two{served};
        if (::geteuid() == 0) {
            CHECK(served.ask({Verb::retry, "python", {}}).has_value());
        } else {
            const auto answer = served.ask({Verb::retry, "python", {}}).value();
            CHECK(answer.outcome == Outcome::failed);
            CHECK_THAT(answer.message, ContainsSubstring("too many"));
        }
    }
}

TEST_CASE("control socket: a stop ends clients that are still silent", "[unit][host]") {
    Served served;
    const Raw silent{served};
    CHECK(served.ask({Verb::retry, "python", {}}).has_value()); // so that the other one is in
    CHECK(served.end().back() == "stopped");
    CHECK(silent.answer().message == "the agent is stopping");
}

TEST_CASE("control socket: it takes the place of what a dead daemon left, and leaves none",
          "[unit][host]") {
    const TempRoot root;
    const auto path = root.path() / "control";
    boost::asio::io_context io;
    const std::stop_source stop;
    UnixControlClient client{path};
    const auto none = client.ask({});
    REQUIRE(none.has_error());
    CHECK(none.error().message == "the agent is not running");
    CHECK_THAT(none.error().next, ContainsSubstring("systemctl start agent"));
    {
        const auto dead = ControlSocket::listen(io, path, stop.get_token(), {}).value();
        std::filesystem::create_hard_link(path, root.path() / "kept");
    }
    CHECK_FALSE(std::filesystem::exists(path));
    std::filesystem::rename(root.path() / "kept", path);
    CHECK(client.ask({}).error().message == "the agent is not running");
    CHECK(ControlSocket::listen(io, path, stop.get_token(), {}).has_value());
}
