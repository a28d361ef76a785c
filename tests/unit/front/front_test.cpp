#include "agent/front/front.hpp"
#include "tests/fakes/fake_http.hpp"
#include "tests/fakes/fake_notifier.hpp"
#include "tests/fakes/fake_stream.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/co_spawn.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <deque>
#include <functional>
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
        FrontWorld world{{}, backend, http, notifier, std::move(control), replace_certificate};
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
    std::unique_ptr<FrontControlListener> control;
    std::function<Result<std::string>(const Secret&)> replace_certificate;
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
          std::vector<std::string>{"STATUS=certificate 0123456789ab, token 3c469e9d6c58. Showing "
                                   "the page: Nobody listens.",
                                   "READY=1"});
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
          std::vector<std::string>{
              "STATUS=certificate 0123456789ab, token 3c469e9d6c58. Relaying to Jupyter.",
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
        CHECK_THAT(world.read(*client), StartsWith("HTTP/1.1 503 "));
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
    world.write(*client, "\x16GET / HTTP/1.1\r\nX: " + std::string(40'000, 'x'));
    CHECK_THAT(world.read(*client), StartsWith("HTTP/1.1 431 "));
}

TEST_CASE("front: Jupyter hears nothing of who has not asked for anything", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.accepted.clear();
    const auto client = world.listener->connect();
    world.write(*client, "\x16GET /lab HTTP/1.1\r\nHost: a\r\n");
    CHECK(world.backend.accepted.empty());
    world.write(*client, "\r\nand more");
    REQUIRE(world.backend.accepted.size() == 1);
    CHECK(world.read(*world.backend.accepted[0]) == "GET /lab HTTP/1.1\r\nHost: a\r\n\r\nand more");
}

TEST_CASE("front: a request that Jupyter died of gets the page, and its probe decides",
          "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.accepted.clear();
    const auto client = world.listener->connect();
    world.write(*client, request);
    REQUIRE(world.backend.accepted.size() == 1);
    SECTION("it is gone") {
        world.backend.process = 0;
        world.backend.accepted.clear();
        CHECK_THAT(world.read(*client), StartsWith("HTTP/1.1 503 "));
        world.settle();
        CHECK(world.notifier.words.back() == "STATUS=certificate 0123456789ab, token 3c469e9d6c58. "
                                             "Showing the page: Nobody listens.");
    }
    SECTION("it answers others: nobody can close the door on them") {
        world.http.answer(200);
        world.backend.accepted.clear();
        CHECK_THAT(world.read(*client), StartsWith("HTTP/1.1 503 "));
        world.settle();
        CHECK(world.notifier.words.back() == "READY=1");
        CHECK(world.http.requests.size() == 3);
    }
    SECTION("it had begun to answer: the rest is missing, and no page follows") {
        world.write(*world.backend.accepted[0], "HTTP/1.1 200 OK\r\n");
        CHECK(world.read(*client) == "HTTP/1.1 200 OK\r\n");
        world.backend.accepted.clear();
        CHECK(world.read(*client).empty());
    }
}

TEST_CASE("front: who leaves before an answer does not put Jupyter in doubt", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    auto client = world.listener->connect();
    world.write(*client, request);
    client.reset();
    world.settle();
    CHECK(world.http.requests.size() == 2);
}

TEST_CASE("front: a head that never ends takes no longer than its time", "[unit][front]") {
    World world;
    world.settings.times.request = 5ms;
    world.run();
    const auto client = world.listener->connect();
    world.write(*client, "\x16GET / HTTP/1.1\r\n");
    CHECK(world.read(*client).empty());
}

TEST_CASE("front: newcomers push out their own kind, never who is in", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.accepted.clear();
    const auto in = world.listener->connect("198.51.100.1");
    world.write(*in, request);
    REQUIRE(world.backend.accepted.size() == 1);
    CHECK(world.read(*world.backend.accepted[0]) == request + 1);

    std::vector<std::unique_ptr<test::MemoryStream>> silent;
    silent.reserve(40);
    for (int i = 0; i < 40; ++i)
        silent.push_back(world.listener->connect("198.51.100.1"));
    world.settle();
    CHECK(world.read(*silent.front()).empty());
    world.write(*silent.back(), request);
    CHECK(world.backend.accepted.size() == 2);
    world.write(*world.backend.accepted[0], "still here");
    CHECK(world.read(*in) == "still here");
}

TEST_CASE("front: one network cannot take all sessions", "[unit][front]") {
    World world;
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.accepted.clear();
    std::vector<std::unique_ptr<test::MemoryStream>> clients;
    clients.reserve(64);
    for (int i = 0; i < 64; ++i) {
        clients.push_back(world.listener->connect("198.51.100.1"));
        world.write(*clients.back(), request);
    }
    CHECK(world.backend.accepted.size() == 64);
    const auto refused = world.listener->connect("198.51.100.1");
    world.write(*refused, request);
    CHECK_THAT(world.read(*refused), StartsWith("HTTP/1.1 503 "));
    CHECK(world.backend.accepted.size() == 64);
    const auto other = world.listener->connect();
    world.write(*other, request);
    CHECK(world.backend.accepted.size() == 65);

    clients.pop_back();
    world.backend.accepted[63]->close();
    world.settle();
    const auto next = world.listener->connect("198.51.100.1");
    world.write(*next, request);
    CHECK(world.read(*world.backend.accepted.back()) == request + 1);
}

namespace {

// What root sends, and what it is answered.
class Offers final : public FrontControlListener {
public:
    explicit Offers(const asio::any_io_executor& executor) : changes_{executor} {}
    void offer(const Secret& message) {
        waiting_.push_back(message);
        changes_.notify();
    }
    asio::awaitable<Result<std::unique_ptr<FrontControlRequest>>> next() override {
        while (waiting_.empty() && !closed_)
            co_await changes_.wait();
        if (closed_)
            co_return transient("closed");
        std::unique_ptr<FrontControlRequest> taken =
            std::make_unique<Offer>(*this, waiting_.front());
        waiting_.pop_front();
        co_return std::move(taken);
    }
    void close() override {
        closed_ = true;
        changes_.notify();
    }
    std::vector<Result<std::string>> answers;

private:
    class Offer final : public FrontControlRequest {
    public:
        Offer(Offers& offers, Secret message) : offers_{offers}, message_{std::move(message)} {}
        [[nodiscard]] const Secret& message() const override { return message_; }
        void answer(std::string_view text) override {
            offers_.answers.push_back(read_front_answer(text));
        }

    private:
        Offers& offers_;
        Secret message_;
    };
    test::Changes changes_;
    std::deque<Secret> waiting_;
    bool closed_ = false;
};

} // namespace

TEST_CASE("front: another certificate is taken or refused, and sessions go on", "[unit][front]") {
    World world;
    auto* const offers = new Offers{world.io.get_executor()}; // owned by the front while it runs
    world.control.reset(offers);
    std::vector<std::string> offered;
    world.replace_certificate = [&](const Secret& pem) -> Result<std::string> {
        offered.push_back(pem.reveal());
        if (pem.reveal() == "bad")
            return misconfigured("it is no PEM", "make one");
        return std::string(64, 'b');
    };
    world.backend.process = jupyter;
    world.passing_probe();
    world.run();
    world.backend.accepted.clear();
    const auto client = world.listener->connect();
    world.write(*client, request);
    const auto words = world.notifier.words;

    offers->offer(Secret{"no JSON"});
    offers->offer(write_front_identity({Secret{"good"}, Secret{}}));
    offers->offer(write_front_identity({Secret{"bad"}, Secret{"other token"}}));
    world.settle();
    REQUIRE(offers->answers.size() == 3);
    CHECK(offers->answers[0].has_error());
    CHECK(offers->answers[1].has_error());
    REQUIRE(offers->answers[2].has_error());
    CHECK(offers->answers[2].error().message == "it is no PEM");
    CHECK(offers->answers[2].error().next == "make one");
    CHECK(world.notifier.words == words);
    CHECK(offered == std::vector<std::string>{"bad"});

    offers->offer(write_front_identity({Secret{"good"}, Secret{"new token"}}));
    world.settle();
    REQUIRE(offers->answers.size() == 4);
    CHECK(offers->answers[3].value() == std::string(64, 'b'));
    CHECK(world.notifier.words.back() ==
          "STATUS=certificate bbbbbbbbbbbb, token 98a472c03885. Relaying to Jupyter.");
    world.write(*world.backend.accepted[0], "still here");
    CHECK(world.read(*client) == "still here");
    // The next probe proves itself with the new token.
    world.backend.process = jupyter + 1;
    world.passing_probe();
    CHECK_THAT(world.ask(), StartsWith("HTTP/1.1 503 "));
    CHECK(world.http.requests.back().headers.at("Authorization") == "token new token");
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
