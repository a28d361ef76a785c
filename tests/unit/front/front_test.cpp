#include "agent/front/front.hpp"
#include "tests/fakes/fake_http.hpp"
#include "tests/fakes/fake_notifier.hpp"
#include "tests/fakes/fake_stream.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace agent {
namespace {

namespace asio = boost::asio;

constexpr pid_t jupyter = 700;
constexpr const char* request = "\x16GET /lab HTTP/1.1\r\nHost: 203.0.113.7:8888\r\n\r\n";

// The whole front over memory. Probes are answered in the order in which the test puts answers;
// when none is left nobody answers, which the gate bears for a while.
struct World {
    World() : listener{new test::FakeListener{io.get_executor()}}, backend{io.get_executor()} {
        settings.backend = {temp.path() / "jupyter.sock", 1000};
        settings.token = Secret{"token"};
        settings.certificate_sha256 = "0123456789abcdef";
        settings.status_file = temp.path() / "status.json";
        settings.times.drain = 1ms;
        settings.times.linger = 1ms;
        settings.times.gate.while_closed = std::chrono::hours{1};
        settings.times.gate.while_open = std::chrono::hours{1};
    }
    ~World() {
        stop.request_stop();
        finish();
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    void run() {
        ended = false;
        FrontWorld world{{}, backend, http, notifier};
        world.listeners.emplace_back(listener);
        asio::co_spawn(io,
                       run_front(std::move(world), settings, stop.get_token()),
                       [this](const std::exception_ptr& thrown) {
                           failure = thrown;
                           ended = true;
                       });
        settle();
    }
    void passing_probe() {
        http.answer(403);
        http.answer(200);
    }
    void settle() {
        io.restart();
        io.poll();
    }
    // Also what has a deadline of milliseconds.
    void finish() {
        io.restart();
        const auto end = std::chrono::steady_clock::now() + 20s;
        while (!ended && io.run_one_until(end) > 0) {
        }
        CHECK(ended);
        CHECK_FALSE(failure);
    }
    void write(ByteStream& stream, const std::string& bytes) {
        REQUIRE(test::run_coroutine(io, stream.write_all(bytes)).has_value());
        settle();
    }
    std::string read(ByteStream& stream) {
        std::string bytes(65'536, '\0');
        const auto got = test::run_coroutine(io, stream.read_some(bytes));
        bytes.resize(got ? *got : 0);
        return got ? bytes : "error: " + got.error().message;
    }
    std::string ask() {
        const auto client = listener->connect();
        write(*client, request);
        return read(*client);
    }

    asio::io_context io{1};
    test::TempRoot temp;
    test::FakeListener* listener; // owned by the front while it runs
    test::FakeBackend backend;
    test::FakeHttp http;
    test::FakeNotifier notifier;
    FrontSettings settings;
    std::stop_source stop;
    std::exception_ptr failure;
    bool ended = true;
};

} // namespace

TEST_CASE("front: READY comes after the first probe, and the page before the relay",
          "[unit][front]") {
    World world;
    world.run();
    CHECK(world.notifier.words ==
          std::vector<std::string>{
              "STATUS=certificate 0123456789ab. Showing the page: Nobody listens.", "READY=1"});
    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
    CHECK(world.http.requests.empty());
}

TEST_CASE("front: the page says what the status file says", "[unit][front]") {
    World world;
    const std::string status = R"({"schema":1,"state":"provisioning","summary":"installing"})";
    REQUIRE(
        durable_write(world.settings.status_file, status, {}, Durability::ephemeral).has_value());
    world.run();
    CHECK_THAT(world.ask(), ContainsSubstring("<p>installing</p>"));
}

TEST_CASE("front: relays what came to the process that passed the probe", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    CHECK(world.notifier.words ==
          std::vector<std::string>{"STATUS=certificate 0123456789ab. Relaying to Jupyter.",
                                   "READY=1"});
    world.backend.accepted.clear();

    const auto client = world.listener->connect();
    world.write(*client, request);
    REQUIRE(world.backend.accepted.size() == 1);
    CHECK(world.read(*world.backend.accepted[0]) == request + 1);
    world.write(*world.backend.accepted[0], "HTTP/1.1 200 OK\r\n\r\n");
    CHECK(world.read(*client) == "HTTP/1.1 200 OK\r\n\r\n");
}

TEST_CASE("front: asks without the token first, then with it", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    REQUIRE(world.http.requests.size() == 2);
    CHECK(world.http.requests[0].headers.empty());
    CHECK(world.http.requests[1].headers.at("Authorization") == "token token");
    for (const auto& asked : world.http.requests)
        CHECK(std::get<UnixEndpoint>(asked.endpoint).owner == uid_t{1000});
}

TEST_CASE("front: another process in Jupyter's place gets nothing until it has passed",
          "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.accepted.clear();
    world.backend.process = jupyter + 1;

    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
    for (const auto& accepted : world.backend.accepted)
        CHECK(world.read(*accepted).empty());
}

TEST_CASE("front: a lost backend is probed again at once", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.process = jupyter + 1;
    world.passing_probe();
    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
    world.backend.accepted.clear();
    const auto client = world.listener->connect();
    world.write(*client, request);
    REQUIRE(world.backend.accepted.size() == 1);
    CHECK(world.read(*world.backend.accepted[0]) == request + 1);
}

TEST_CASE("front: an open Jupyter is never relayed to, and what was relayed ends",
          "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    SECTION("from the beginning") {
        world.http.answer(200);
        world.run();
        world.backend.accepted.clear();
        CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
        CHECK(world.backend.accepted.empty());
    }
    SECTION("when it came back open") {
        world.passing_probe();
        world.run();
        const auto client = world.listener->connect();
        world.write(*client, request);
        world.backend.process = jupyter + 1;
        world.http.answer(200);
        CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
        CHECK(world.read(*client).empty());
        CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
    }
    const auto& words = world.notifier.words;
    CHECK(std::any_of(words.begin(), words.end(), [](const std::string& word) {
        return word.find("gives its files to anybody") != std::string::npos;
    }));
}

TEST_CASE("front: a listener of another user is never relayed to", "[unit][front]") {
    World world;
    world.backend.foreign = true;
    world.run();
    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
    CHECK(world.http.requests.empty());
}

TEST_CASE("front: plain HTTP is redirected, and what is neither is closed", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.accepted.clear();
    const auto plain = world.listener->connect();
    world.write(*plain, request + 1);
    CHECK_THAT(world.read(*plain), ContainsSubstring("Location: https://203.0.113.7:8888/lab\r\n"));
    const auto garbage = world.listener->connect();
    REQUIRE(test::run_coroutine(world.io, garbage->write_all("\x03\x01")).has_value());
    CHECK(world.read(*garbage).empty());
    CHECK(world.backend.accepted.empty());
}

TEST_CASE("front: a head that never ends is refused", "[unit][front]") {
    World world;
    world.run();
    const auto client = world.listener->connect();
    world.write(*client, "\x16GET / HTTP/1.1\r\nX: " + std::string(20'000, 'x'));
    CHECK_THAT(world.read(*client), StartsWith("HTTP/1.1 431 "));
}

TEST_CASE("front: one network cannot take all sessions", "[unit][front]") {
    World world;
    world.run();
    std::vector<std::unique_ptr<test::MemoryStream>> clients;
    clients.reserve(64);
    for (int i = 0; i < 64; ++i)
        clients.push_back(world.listener->connect("198.51.100.1"));
    world.settle();
    CHECK(world.read(*world.listener->connect("198.51.100.1")).empty());
    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));

    clients.pop_back();
    world.settle();
    const auto next = world.listener->connect("198.51.100.1");
    world.write(*next, request);
    CHECK_THAT(world.read(*next), StartsWith("HTTP/1.1 503 "));
}

TEST_CASE("front: asked to stop, it accepts nothing more and ends what goes on too long",
          "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    const auto client = world.listener->connect();
    world.write(*client, request);
    world.stop.request_stop();
    world.finish();
    CHECK(world.notifier.words.back() == "STOPPING=1");
    CHECK(world.read(*client).empty());
}

} // namespace agent
