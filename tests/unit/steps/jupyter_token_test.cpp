#include "agent/ports/layout.hpp"
#include "agent/steps/jupyter_token.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::Matches;

namespace {

struct Machine {
    StepWorld world;
    JupyterToken step{world.ports()};
    [[nodiscard]] std::string token() const { return world.content(layout::front_token); }
};

} // namespace

TEST_CASE("jupyter_token: it is made once, kept, and for root alone", "[unit][steps]") {
    Machine machine;
    CHECK(machine.world.check(machine.step).value().reason == "there is no token of this instance");
    CHECK_FALSE(current_token(machine.world.root()).has_value());
    REQUIRE(machine.world.apply(machine.step).has_value());
    const std::string first = machine.token();
    CHECK_THAT(first, Matches("[0-9a-f]{64}"));
    CHECK(current_token(machine.world.root()) == Secret{first});
    CHECK(machine.world.mode(layout::front_token) == 0600U);
    CHECK(machine.world.mode("/var/lib/agent/front") == 0700U);
    CHECK(machine.world.check(machine.step).value().satisfied);
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.token() == first);
    CHECK(machine.step.fingerprint().find(first) == std::string::npos);
}

TEST_CASE("jupyter_token: another instance gets one of its own and forgets every login",
          "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    const std::string first = machine.token();
    machine.world.put(layout::cookie_secret, "of the other instance");
    SECTION("another instance") {
        machine.world.context.new_instance = true;
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.token() != first);
        CHECK_FALSE(machine.world.has(layout::cookie_secret));
    }
    SECTION("the same one") {
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.world.has(layout::cookie_secret));
    }
}

TEST_CASE("jupyter_token: a token that is none is replaced", "[unit][steps]") {
    const std::string spoilt = GENERATE(std::string{},
                                        std::string(63, 'a'),
                                        std::string(64, 'A'),
                                        std::string(64, 'a') + "\n",
                                        std::string(2000, 'a'),
                                        std::string(64, '\0'));
    Machine machine;
    machine.world.put(layout::front_token, spoilt);
    CHECK_FALSE(current_token(machine.world.root()).has_value());
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(current_token(machine.world.root()).has_value());
}
