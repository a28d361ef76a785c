#include "agent/graph/run_clock.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace agent;
using namespace std::chrono_literals;

namespace {
constexpr Monotonic start{std::chrono::hours{1}};
} // namespace

TEST_CASE("run clock: it goes while somebody works, however many", "[unit][graph]") {
    RunClock clock{60s};
    CHECK(clock.left(start) == 60s);
    clock.begin_work(start);
    clock.begin_work(start + 10s);
    clock.end_work(start + 20s);
    CHECK(clock.spent(start + 30s) == 30s);
    clock.end_work(start + 40s);
    CHECK(clock.spent(start + 90s) == 40s);
    CHECK_FALSE(clock.is_over(start + 90s));
    clock.begin_work(start + 100s);
    CHECK(clock.left(start + 119s) == 1s);
    CHECK_FALSE(clock.is_over(start + 119s));
    CHECK(clock.is_over(start + 120s));
    CHECK(clock.left(start + 200s) == 0s);
}

TEST_CASE("run clock: without a limit it is never over", "[unit][graph]") {
    RunClock clock;
    clock.begin_work(start);
    CHECK_FALSE(clock.left(start + 1000h).has_value());
    CHECK_FALSE(clock.is_over(start + 1000h));
}

TEST_CASE("run clock: what earlier runs have taken counts", "[unit][graph]") {
    RunClock clock{60s, 50s};
    CHECK(clock.left(start + 1h) == 10s);
    clock.begin_work(start);
    CHECK(clock.left(start + 4s) == 6s);
    CHECK(clock.is_over(start + 10s));
    CHECK(RunClock{60s, 70s}.is_over(start));
}

TEST_CASE("run clock: a limit that is spent already is over at once", "[unit][graph]") {
    RunClock clock{0ms};
    CHECK(clock.is_over(start));
}
