#include "agent/steps/service_user.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("service_user: a user that exists is left as it is", "[unit][steps]") {
    StepWorld world;
    world.accounts.add("jupyter").uid = 1000;
    ServiceUser step{world.ports(), "jupyter"};
    CHECK(world.check(step).value().satisfied);
    CHECK(world.commands.ran.empty());
}

TEST_CASE("service_user: who is missing is made with a home and a group", "[unit][steps]") {
    StepWorld world;
    ServiceUser step{world.ports(), "jupyter"};
    const auto checked = world.check(step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK(checked.reason == "there is no user jupyter");
    world.commands.when({"useradd"}).exits(0);
    REQUIRE(world.apply(step).has_value());
    REQUIRE(world.commands.ran.size() == 1);
    CHECK(FakeCommands::line(world.commands.ran.front()) ==
          "/usr/sbin/useradd --create-home --user-group --shell /bin/bash --comment Jupyter -- "
          "jupyter");
}

TEST_CASE("service_user: somebody else may have made him first", "[unit][steps]") {
    StepWorld world;
    ServiceUser step{world.ports(), "jupyter"};
    world.commands.when({"useradd"}).exits(9, "", "useradd: user 'jupyter' already exists\n");
    CHECK(world.apply(step).has_value());
}

TEST_CASE("service_user: another failure of useradd is told in its words and tried again",
          "[unit][steps]") {
    StepWorld world;
    ServiceUser step{world.ports(), "jupyter"};
    world.commands.when({"useradd"}).exits(10, "", "useradd: cannot lock /etc/group\n");
    const auto applied = world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::transient);
    CHECK(applied.error().message == "making the user jupyter: useradd exited with status 10: "
                                     "useradd: cannot lock /etc/group");
}

TEST_CASE("service_user: root is refused, whatever he is called", "[unit][steps]") {
    StepWorld world;
    world.accounts.add("toor").uid = 0;
    ServiceUser step{world.ports(), "toor"};
    const auto checked = world.check(step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(checked.error().next, ContainsSubstring("[machine] user"));
}

TEST_CASE("service_user: accounts that cannot be asked are an Error", "[unit][steps]") {
    StepWorld world;
    world.accounts.refusal = transient("getent did not answer");
    ServiceUser step{world.ports(), "jupyter"};
    CHECK(world.check(step).error().message == "getent did not answer");
}
