#include "agent/front/relay.hpp"
#include "tests/fakes/fake_stream.hpp"
#include "tests/support/run_coroutine.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using namespace std::chrono_literals;

namespace agent {
namespace {

namespace asio = boost::asio;

// client ⇄ [front | relay | front] ⇄ backend
struct Chain {
    explicit Chain(std::size_t capacity = 65'536,
                   std::chrono::milliseconds half_closed = std::chrono::hours{1})
        : left{test::memory_connection(io.get_executor(), capacity)},
          right{test::memory_connection(io.get_executor(), capacity)} {
        asio::co_spawn(io,
                       relay(*left.far, *right.near, memory, half_closed),
                       [this](const std::exception_ptr& thrown, RelayEnd how) {
                           ended = !thrown;
                           end = how;
                       });
    }
    // Everything that can happen without waiting.
    void settle() {
        io.restart();
        io.poll();
    }
    std::string read(ByteStream& stream) {
        std::string all;
        all.resize(1'048'576);
        const auto got = test::run_coroutine(io, stream.read_some(all));
        all.resize(got ? *got : 0);
        return got ? all : "error: " + got.error().message;
    }
    asio::io_context io{1};
    RelayMemory memory;
    test::MemoryConnection left;
    test::MemoryConnection right;
    bool ended = false;
    RelayEnd end = RelayEnd::over;

    test::MemoryStream& client() const { return *left.near; }
    test::MemoryStream& backend() const { return *right.far; }
};

} // namespace

TEST_CASE("relay: carries bytes both ways", "[unit][front]") {
    Chain chain;
    REQUIRE(test::run_coroutine(chain.io, chain.client().write_all("question")).has_value());
    CHECK(chain.read(chain.backend()) == "question");
    REQUIRE(test::run_coroutine(chain.io, chain.backend().write_all("answer")).has_value());
    CHECK(chain.read(chain.client()) == "answer");
    CHECK_FALSE(chain.ended);
}

TEST_CASE("relay: an end of stream is a half-close, and the other direction goes on",
          "[unit][front]") {
    Chain chain;
    REQUIRE(test::run_coroutine(chain.io, chain.client().write_all("all I say")).has_value());
    REQUIRE(test::run_coroutine(chain.io, chain.client().finish_writing()).has_value());
    CHECK(chain.read(chain.backend()) == "all I say");
    CHECK(chain.read(chain.backend()).empty());
    CHECK_FALSE(chain.ended);
    REQUIRE(test::run_coroutine(chain.io, chain.backend().write_all("late answer")).has_value());
    CHECK(chain.read(chain.client()) == "late answer");
    REQUIRE(test::run_coroutine(chain.io, chain.backend().finish_writing()).has_value());
    CHECK(chain.read(chain.client()).empty());
    chain.settle();
    CHECK(chain.ended);
}

TEST_CASE("relay: who does not read slows the other side down", "[unit][front]") {
    constexpr std::size_t capacity = 4096;
    Chain chain{capacity};
    const std::string much(1'048'576, 'x');
    bool written = false;
    asio::co_spawn(chain.io,
                   chain.backend().write_all(much),
                   [&](const std::exception_ptr&, const Result<void>& result) {
                       written = result.has_value();
                   });
    chain.settle();
    CHECK_FALSE(written);
    CHECK(chain.backend().written() <= 2 * capacity + RelayMemory::piece);
    std::size_t arrived = 0;
    while (arrived < much.size())
        arrived += chain.read(chain.client()).size();
    chain.settle();
    CHECK(written);
    CHECK(arrived == much.size());
}

TEST_CASE("relay: closing either side ends both", "[unit][front]") {
    Chain chain;
    REQUIRE(test::run_coroutine(chain.io, chain.backend().write_all("begun")).has_value());
    SECTION("the front closes the client") {
        chain.left.far->close();
    }
    SECTION("the front closes the backend") {
        chain.right.near->close();
    }
    SECTION("the client is gone and the backend still speaks") {
        chain.client().close();
        chain.settle();
        REQUIRE(test::run_coroutine(chain.io, chain.backend().write_all("anybody?")).has_value());
    }
    chain.settle();
    CHECK(chain.ended);
    CHECK(chain.end == RelayEnd::over);
    CHECK(chain.left.far->closed());
    CHECK(chain.right.near->closed());
}

TEST_CASE("relay: a backend that ends before its first byte leaves the client to an answer",
          "[unit][front]") {
    constexpr std::size_t capacity = 4096;
    Chain chain{capacity};
    SECTION("nothing was under way") {
        chain.backend().close();
    }
    SECTION("it ends in order") {
        REQUIRE(test::run_coroutine(chain.io, chain.backend().finish_writing()).has_value());
    }
    SECTION("the question was still under way") {
        REQUIRE(test::run_coroutine(chain.io, chain.client().write_all(std::string(6000, 'x')))
                    .has_value());
        chain.settle();
        chain.backend().close();
    }
    chain.settle();
    REQUIRE(chain.ended);
    CHECK(chain.end == RelayEnd::unanswered);
    CHECK(chain.memory.kept() == 0);
    REQUIRE_FALSE(chain.left.far->closed());
    REQUIRE(test::run_coroutine(chain.io, chain.left.far->write_all("sorry")).has_value());
    CHECK(chain.read(chain.client()) == "sorry");
}

TEST_CASE("relay: only what the other side does not take costs memory, and there is an end to it",
          "[unit][front]") {
    constexpr std::size_t capacity = 4096;
    Chain chain{capacity};
    chain.settle();
    CHECK(chain.memory.kept() == 0);
    REQUIRE(test::run_coroutine(chain.io, chain.backend().write_all("short")).has_value());
    chain.settle();
    CHECK(chain.memory.kept() == 0);
    const std::string much(65'536, 'x');
    asio::co_spawn(chain.io,
                   chain.backend().write_all(much),
                   [](const std::exception_ptr&, const Result<void>&) {});
    chain.settle();
    CHECK(chain.memory.kept() > 0);
    CHECK(chain.memory.kept() <= RelayMemory::piece);
    const RelayMemory::Rest others{chain.memory, std::string(RelayMemory::plenty, 'x')};
    CHECK(chain.memory.scratch().size() == RelayMemory::small_piece);
}

TEST_CASE("relay: half closed, it may not be idle for ever", "[unit][front]") {
    Chain chain{65'536, 1ms};
    REQUIRE(test::run_coroutine(chain.io, chain.client().finish_writing()).has_value());
    while (!chain.ended)
        chain.io.run_one_for(20s);
    CHECK(chain.left.far->closed());
}

} // namespace agent
