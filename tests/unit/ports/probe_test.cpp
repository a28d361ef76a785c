#include "agent/ports/probe.hpp"
#include "tests/fakes/fake_http.hpp"
#include "tests/support/run_coroutine.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <string>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Jupyter {
    FakeHttp http;
    Result<void> probe(std::variant<TcpEndpoint, TlsEndpoint, UnixEndpoint> endpoint = UnixEndpoint{
                           "/run/jupyter.sock", 1000}) {
        boost::asio::io_context io{1};
        return run_coroutine(io,
                             probe_jupyter(http, std::move(endpoint), Secret{"secret-token"}, 4s));
    }
};

} // namespace

TEST_CASE("probe: a Jupyter that refuses strangers and knows the token is ours", "[unit][ports]") {
    Jupyter jupyter;
    jupyter.http.answer(GENERATE(401U, 403U));
    jupyter.http.answer(200, "{}");

    CHECK(jupyter.probe().has_value());

    REQUIRE(jupyter.http.requests.size() == 2);
    const auto& stranger = jupyter.http.requests[0];
    const auto& known = jupyter.http.requests[1];
    CHECK(stranger.target == "/api/contents");
    CHECK(stranger.headers.empty());
    CHECK(stranger.host == "localhost");
    CHECK(std::get<UnixEndpoint>(stranger.endpoint).owner == 1000U);
    CHECK(known.target == "/api/status");
    CHECK(known.headers.at("Authorization") == "token secret-token");
    CHECK(stranger.deadline + known.deadline <= 4s);
}

TEST_CASE("probe: the Host header is one that Jupyter takes for local", "[unit][ports]") {
    Jupyter jupyter;
    SECTION("of IPv4") {
        static_cast<void>(jupyter.probe(TcpEndpoint{"127.0.0.1", 8888}));
        CHECK(jupyter.http.requests.front().host == "127.0.0.1:8888");
    }
    SECTION("of IPv6") {
        static_cast<void>(jupyter.probe(TlsEndpoint{"::1", 8888, "00"}));
        CHECK(jupyter.http.requests.front().host == "[::1]:8888");
    }
}

TEST_CASE("probe: a Jupyter that gives its files to strangers is a permanent error",
          "[unit][ports]") {
    Jupyter jupyter;
    jupyter.http.answer(200, "{}");
    const auto outcome = jupyter.probe();
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().kind == ErrorKind::permanent);
    CHECK_FALSE(outcome.error().next.empty());
    CHECK(jupyter.http.requests.size() == 1);
}

TEST_CASE("probe: what may pass is transient and says what came back, never the token",
          "[unit][ports]") {
    Jupyter jupyter;
    std::string said;
    SECTION("nobody answers the first question") {
        said = "nobody answers";
    }
    SECTION("the first answer is odd") {
        jupyter.http.answer(GENERATE(302U, 404U, 502U));
        said = "expected 403";
    }
    SECTION("nobody answers the second question") {
        jupyter.http.answer(403);
        said = "nobody answers";
    }
    SECTION("the token is refused") {
        jupyter.http.answer(403);
        jupyter.http.answer(403);
        said = "token with status 403";
    }
    SECTION("the second answer is odd") {
        jupyter.http.answer(403);
        jupyter.http.answer(500);
        said = "status 500";
    }
    const auto outcome = jupyter.probe();
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().kind == ErrorKind::transient);
    CHECK_THAT(outcome.error().message, ContainsSubstring(said));
    CHECK_THAT(outcome.error().message, !ContainsSubstring("secret-token"));
}

TEST_CASE("probe: a foreign listener stays a permanent error", "[unit][ports]") {
    Jupyter jupyter;
    jupyter.http.fail(permanent("a process of user id 0 listens there"));
    const auto outcome = jupyter.probe();
    REQUIRE(outcome.has_error());
    CHECK(outcome.error().kind == ErrorKind::permanent);
}
