#include "agent/steps/pins.hpp"
#include "tests/fakes/fake_step_context.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Words = std::vector<std::string>;

TEST_CASE("pins: what differs is left alone, and said, until somebody asks", "[unit][steps]") {
    FakeCommands commands;
    FakeStepContext context{commands};
    Pins pins;
    context.last = "inputs";
    CHECK(pins.due(context, "inputs", {"numpy==1"}).empty());
    CHECK(pins.to_install({"numpy==1", "pandas"}) == Words{"pandas"});
    CHECK(pins.report("python_packages") ==
          "in another version than pinned: numpy==1; `agent retry python_packages` changes that");
}

TEST_CASE("pins: a person, another configuration or a first run changes them", "[unit][steps]") {
    FakeCommands commands;
    FakeStepContext context{commands};
    context.last = "inputs";
    std::string now = "inputs";
    SECTION("a person asked") {
        context.asked = true;
    }
    SECTION("the configuration changed") {
        now = "other inputs";
    }
    SECTION("nothing is known of before") {
        context.last.reset();
    }
    Pins pins;
    CHECK(pins.due(context, now, {"numpy==1"}) == Words{"numpy==1"});
    CHECK(pins.to_install({"numpy==1", "pandas"}) == Words{"numpy==1", "pandas"});
    CHECK(pins.report("python_packages").empty());
}

TEST_CASE("pins: the look after a run judges as the look before it", "[unit][steps]") {
    FakeCommands commands;
    FakeStepContext context{commands};
    context.last = "before";
    Pins changing;
    REQUIRE(changing.due(context, "inputs", {"numpy==1"}).size() == 1);
    context.last = "inputs";
    CHECK(changing.due(context, "inputs", {"numpy==1"}) == Words{"numpy==1"}); // it did not work
    Pins leaving;
    REQUIRE(leaving.due(context, "inputs", {"numpy==1"}).empty());
    CHECK(leaving.due(context, "inputs", {"numpy==1", "pandas==2"}) == Words{"pandas==2"});
}
