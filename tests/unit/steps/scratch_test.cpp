#include "agent/steps/scratch.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>

#include <optional>

#include <unistd.h>

using namespace agent;
using namespace agent::test;

TEST_CASE("scratch: a place that is the user's alone, empty, and gone afterwards",
          "[unit][steps]") {
    StepWorld world;
    Account user;
    user.uid = ::getuid();
    user.gid = ::getgid();
    const std::string place = "/var/lib/agent/scratch/python";
    const std::string left = place + "/of-a-run-that-was-killed";
    world.put(left, "x");
    {
        auto scratch = Scratch::make(world.root(), user, "python");
        REQUIRE(scratch.has_value());
        CHECK(scratch->path() == place);
        CHECK(world.mode(place) == 0700);
        CHECK_FALSE(world.has(left));
        const std::optional<Scratch> moved{std::move(*scratch)};
        world.put(left, "x");
        CHECK(world.has(left));
    }
    CHECK_FALSE(world.has(place));
}

TEST_CASE("scratch: what is in its place and cannot be taken away is an Error", "[unit][steps]") {
    StepWorld world;
    world.put("/var/lib/agent", "a file where a directory belongs");
    CHECK(Scratch::make(world.root(), Account{}, "python").has_error());
}
