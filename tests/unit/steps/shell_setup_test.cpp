#include "agent/steps/shell_setup.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::string done =
    R"({"bash":"here","zsh":"none","fish":"none","commands":true,"login":true})";

class Shells {
public:
    Shells() {
        world.accounts.add("ada");
        sees(R"({"bash":"none","zsh":"none","fish":"none","commands":false,"login":true})");
        world.commands.when({"conda", "init"}).exits(0);
    }
    void sees(const std::string& answer) {
        world.commands.when({"worker", "shell"}).exits(0, answer);
    }

    StepWorld world;
    ShellSetup step{world.ports(), "ada", "/opt/miniforge3"};
};

} // namespace

TEST_CASE("shell setup: a user whose bash knows conda everywhere needs nothing", "[unit][steps]") {
    struct Row {
        std::string seen;
        std::string reason;
        bool satisfied;
    };
    for (const auto& [seen, reason, satisfied] :
         {Row{done, "conda for bash of ada", true},
          Row{R"({"bash":"none","commands":true,"login":true})",
              "bash of ada knows no conda",
              false},
          Row{R"({"bash":"here","commands":false,"login":true})", "over ssh", false},
          Row{R"({"bash":"here","commands":true,"login":false})", "a login", false},
          Row{R"({"bash":"other","commands":true,"login":true})", "another conda", true}}) {
        Shells shells;
        shells.sees(seen);
        const auto checked = shells.world.check(shells.step).value();
        CHECK(checked.satisfied == satisfied);
        CHECK_THAT(checked.reason, ContainsSubstring(reason));
        for (const auto& ran : shells.world.commands.ran) {
            REQUIRE(ran.as.has_value());
            CHECK(ran.as->name == "ada");
        }
    }
}

TEST_CASE("shell setup: conda initialises the shells that he uses, as him, and not the others",
          "[unit][steps]") {
    Shells shells;
    shells.world.accounts.users["ada"].shell = "/usr/bin/zsh";
    REQUIRE(shells.world.apply(shells.step).has_value());
    const auto init = shells.world.commands.all_with("init").back();
    CHECK(FakeCommands::line(init) == "/opt/miniforge3/bin/conda init bash zsh");
    REQUIRE(init.as.has_value());
    CHECK(init.as->name == "ada");
    CHECK(FakeCommands::has_word(shells.world.commands.ran.back(), "--complete"));
}

TEST_CASE("shell setup: a shell with a conda of his own is not initialised again",
          "[unit][steps]") {
    Shells shells;
    shells.sees(R"({"bash":"other","commands":false,"login":true})");
    REQUIRE(shells.world.apply(shells.step).has_value());
    CHECK(shells.world.commands.all_with("init").empty());
}

TEST_CASE("shell setup: a conda that is too old for it is said to be", "[unit][steps]") {
    Shells shells;
    shells.world.commands.when({"conda", "init"})
        .exits(2, "", "conda: error: argument command: invalid choice: 'init'\n");
    const auto applied = shells.world.apply(shells.step);
    REQUIRE(applied.has_error());
    CHECK_THAT(applied.error().message, ContainsSubstring("came with 4.6"));
    CHECK_THAT(applied.error().next, ContainsSubstring("conda.sh"));
}
