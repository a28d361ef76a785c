#include "agent/supervise/setup_clock.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>

using namespace agent;
using namespace std::chrono_literals;
using Begin = SetupClock::Begin;

TEST_CASE("setup clock: it runs from the first converging on", "[unit][supervise]") {
    SetupClock clock;
    CHECK(clock.ran(100s) == 0s);
    CHECK(clock.begin(100s, "a", Begin::going_on));
    CHECK(clock.ran(160s) == 60s);
}

TEST_CASE("setup clock: the same configuration goes on where it was, another one begins anew",
          "[unit][supervise]") {
    SetupClock clock;
    clock.begin(100s, "a", Begin::going_on);
    CHECK_FALSE(clock.begin(160s, "a", Begin::going_on));
    CHECK(clock.ran(170s) == 70s);
    CHECK(clock.begin(170s, "b", Begin::going_on));
    CHECK(clock.ran(171s) == 1s);
}

TEST_CASE("setup clock: whoever asks for it gets the whole time again", "[unit][supervise]") {
    SetupClock clock;
    clock.begin(100s, "a", Begin::going_on);
    CHECK(clock.begin(160s, "a", Begin::anew));
    CHECK(clock.ran(161s) == 1s);
}

TEST_CASE("setup clock: it stands while nothing is done", "[unit][supervise]") {
    SetupClock clock;
    clock.begin(100s, "a", Begin::going_on);
    clock.stand(110s);
    clock.stand(120s);
    CHECK(clock.ran(1000s) == 10s);
    clock.go_on(1000s);
    clock.go_on(1005s);
    CHECK(clock.ran(1010s) == 20s);
}

TEST_CASE("setup clock: what follows a setup that ended is a new one", "[unit][supervise]") {
    SetupClock clock;
    clock.begin(100s, "a", Begin::going_on);
    clock.end();
    CHECK(clock.ran(200s) == 0s);
    clock.go_on(200s);
    CHECK(clock.ran(300s) == 0s);
    CHECK(clock.begin(300s, "a", Begin::going_on));
    CHECK(clock.ran(310s) == 10s);
}

TEST_CASE("setup clock: what is written is the clock that is read", "[unit][supervise]") {
    SetupClock clock;
    const bool stands = GENERATE(false, true);
    clock.begin(100s, "a", Begin::going_on);
    if (stands)
        clock.stand(130s);
    auto read = SetupClock::from_value(clock.to_value()).value();
    CHECK(read.ran(150s) == (stands ? 30s : 50s));
    CHECK_FALSE(read.begin(150s, "a", Begin::going_on));
    CHECK(read.ran(160s) == (stands ? 40s : 60s));
    CHECK(SetupClock::from_value(SetupClock{}.to_value()).value().ran(9s) == 0s);
}

TEST_CASE("setup clock: what is no clock is refused", "[unit][supervise]") {
    const Value whole = [] {
        SetupClock clock;
        clock.begin(100s, "a", Begin::going_on);
        return clock.to_value();
    }();
    for (const auto& key : {"configuration", "ran_ms", "running_since_ms"}) {
        Value::Object object = *whole.as_object();
        std::erase_if(object, [&](const Value::Member& member) { return member.key == key; });
        CHECK_FALSE(SetupClock::from_value(object).has_value());
    }
    CHECK_FALSE(SetupClock::from_value("a").has_value());
}
