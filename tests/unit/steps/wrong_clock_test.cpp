#include "agent/steps/wrong_clock.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;

namespace {

void await(StepWorld& world) {
    boost::asio::io_context io{1};
    run_coroutine(io, await_right_clock(world.context, world.clock));
}

} // namespace

TEST_CASE("wrong clock: one that may be right is not waited for", "[unit][steps]") {
    StepWorld world;
    await(world);
    CHECK(clock_complaint(world.clock).empty());
    CHECK(world.clock.slept.empty());
    CHECK(world.context.phrases.empty());
}

TEST_CASE("wrong clock: one before the program was made is waited for until it is set",
          "[unit][steps]") {
    StepWorld world;
    // Less than a minute behind: it gets there by itself.
    world.clock.wall_jump = -(1h + 10s);
    CHECK(clock_complaint(world.clock) == "the clock is wrong: it says 2023-11-14T22:13:10Z");
    await(world);
    CHECK(world.clock.slept.size() == 10);
    CHECK(world.context.phrases ==
          std::vector<std::string>{
              "the clock is wrong: it says 2023-11-14T22:13:10Z; waiting for it to be set",
              "the clock has been set"});
    CHECK(world.context.hold_ups.size() == 1);
}

TEST_CASE("wrong clock: after a minute it goes on and says so", "[unit][steps]") {
    StepWorld world;
    world.clock.wall_jump = -24h * 365 * 8;
    await(world);
    CHECK(world.clock.slept.size() == 60);
    REQUIRE(world.context.phrases.size() == 2);
    CHECK(world.context.phrases.back().ends_with("going on without waiting any longer"));
}
