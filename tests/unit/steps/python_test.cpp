#include "agent/steps/python.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <string>

#include <unistd.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* marker = "/opt/.jupyter.agent";
constexpr const char* work_mark = "/opt/.jupyter.agent-python";

class Venv {
public:
    Venv() {
        world.accounts.add("jupyter");
        world.commands.when({"worker", "environment"})
            .exits(0, R"({"exists":false,"packages":{}})");
        world.commands.when({"-m", "venv"}).exits(0);
        world.commands.when({"sync"}).exits(0);
    }
    [[nodiscard]] bool cleared() const {
        return FakeCommands::has_word(world.commands.all_with("venv").back(), "--clear");
    }

    StepWorld world;
    PythonVenv step{world.ports(), "jupyter", "/opt/jupyter"};
};

} // namespace

TEST_CASE("python: it is there when its interpreter runs and pip is in it", "[unit][steps]") {
    struct Row {
        std::string seen;
        std::string due; // empty: it is so
    };
    for (const auto& [seen, due] :
         {Row{R"({"exists":true,"python":"3.11.2","packages":{"pip":"23.0.1"}})", ""},
          Row{R"({"exists":true,"python":"3.11.2","packages":{"Pip":"23.0.1"}})", ""},
          Row{R"({"exists":true,"python":"3.11.2","packages":{}})", "has no pip"},
          Row{R"({"exists":false,"python":"","packages":{}})", "no Python at /opt/jupyter"},
          Row{R"({})", "no Python at /opt/jupyter"},
          Row{R"({"exists":"yes","packages":[]})", "no Python at /opt/jupyter"}}) {
        Venv venv;
        venv.world.commands.when({"worker", "environment"}).exits(0, seen);
        const auto checked = venv.world.check(venv.step).value();
        CHECK(checked.satisfied == due.empty());
        CHECK_THAT(checked.reason, ContainsSubstring(due));
    }
}

TEST_CASE("python: it is looked at by a worker that is the user, never by root", "[unit][steps]") {
    Venv venv;
    REQUIRE(venv.world.check(venv.step).has_value());
    REQUIRE(venv.world.commands.ran.size() == 1);
    const auto& look = venv.world.commands.ran.front();
    CHECK(FakeCommands::line(look) == "/proc/self/exe worker environment /opt/jupyter");
    REQUIRE(look.as.has_value());
    CHECK(look.as->name == "jupyter");
}

TEST_CASE("python: a worker that answers nonsense or fails is an Error", "[unit][steps]") {
    Venv venv;
    SECTION("nonsense") {
        venv.world.commands.when({"worker"}).exits(0, "{");
    }
    SECTION("failure") {
        venv.world.commands.when({"worker"}).exits(1, "", "no such account");
    }
    const auto checked = venv.world.check(venv.step);
    REQUIRE(checked.has_error());
    CHECK_THAT(checked.error().message, ContainsSubstring("looking at /opt/jupyter"));
}

TEST_CASE("python: a prefix that is free is claimed and given to the user", "[unit][steps]") {
    Venv venv;
    REQUIRE(venv.world.apply(venv.step).has_value());
    CHECK(venv.world.has(marker));
    CHECK(venv.world.has("/opt/jupyter"));
    CHECK(venv.world.mode("/opt/jupyter") == 0755U);
    const auto made = venv.world.commands.all_with("venv").back();
    CHECK(FakeCommands::has_word(venv.world.commands.ran.back(), "sync"));
    CHECK_FALSE(venv.world.has(work_mark));
    CHECK(made.argv.front() == "/usr/bin/python3");
    CHECK(made.argv.back() == "/opt/jupyter");
    REQUIRE(made.as.has_value());
    CHECK(made.as->name == "jupyter");
}

TEST_CASE("python: an empty directory that somebody prepared is claimed too", "[unit][steps]") {
    Venv venv;
    std::filesystem::create_directories(venv.world.root() / "/opt/jupyter");
    CHECK(venv.world.apply(venv.step).has_value());
    CHECK(venv.world.has(marker));
}

TEST_CASE("python: what somebody else made at the prefix is refused and left as it is",
          "[unit][steps]") {
    Venv venv;
    SECTION("a directory with something in it") {
        venv.world.put("/opt/jupyter/precious", "x");
    }
    SECTION("a file") {
        venv.world.put("/opt/jupyter", "x");
    }
    SECTION("a link to a directory that is empty") {
        std::filesystem::create_directories(venv.world.root() / "/srv/empty");
        std::filesystem::create_directories(venv.world.root() / "/opt");
        std::filesystem::create_symlink(venv.world.root() / "/srv/empty",
                                        venv.world.root() / "/opt/jupyter");
    }
    SECTION("a link to nothing") {
        std::filesystem::create_directories(venv.world.root() / "/opt");
        std::filesystem::create_symlink("/nothing", venv.world.root() / "/opt/jupyter");
    }
    const auto applied = venv.world.apply(venv.step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(applied.error().next, ContainsSubstring("[python] prefix"));
    CHECK(venv.world.commands.ran.empty());
    CHECK_FALSE(venv.world.has(marker));
}

TEST_CASE("python: one of ours that never was finished is made again from nothing",
          "[unit][steps]") {
    Venv venv;
    REQUIRE(venv.world.apply(venv.step).has_value());
    CHECK(venv.cleared());
    venv.world.put("/opt/jupyter/bin/half", "x");
    REQUIRE(venv.world.apply(venv.step).has_value());
    CHECK(venv.cleared());
}

TEST_CASE("python: one of ours that once was finished keeps what the user put into it",
          "[unit][steps]") {
    Venv venv;
    REQUIRE(venv.world.apply(venv.step).has_value());
    venv.world.put("/opt/jupyter/lib/of the user", "x");
    venv.world.context.last = venv.step.fingerprint();
    REQUIRE(venv.world.apply(venv.step).has_value());
    CHECK_FALSE(venv.cleared());
}

TEST_CASE("python: one whose making was cut short is not believed, whatever is there",
          "[unit][steps]") {
    Venv venv;
    venv.world.commands.when({"worker", "environment"})
        .exits(0, R"({"exists":true,"python":"3.11.2","packages":{"pip":"23.0.1"}})");
    venv.world.commands.when({"venv"}).is_killed(9);
    REQUIRE(venv.world.apply(venv.step).has_error());
    const auto checked = venv.world.check(venv.step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK(checked.reason == "the making of /opt/jupyter was cut short");
    venv.world.commands.when({"venv"}).exits(0);
    REQUIRE(venv.world.apply(venv.step).has_value());
    CHECK(venv.cleared());
    CHECK(venv.world.check(venv.step).value().satisfied);
}

TEST_CASE("python: a venv that cannot be made is an Error with the last words", "[unit][steps]") {
    Venv venv;
    venv.world.commands.when({"venv"}).exits(1, "Error: ensurepip is not available\n");
    const auto applied = venv.world.apply(venv.step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().message == "making a venv in /opt/jupyter: python3 exited with status 1: "
                                     "Error: ensurepip is not available");
}

TEST_CASE("python: a user who is gone is an Error that passes", "[unit][steps]") {
    Venv venv;
    venv.world.accounts.users.clear();
    CHECK(venv.world.check(venv.step).error().kind == ErrorKind::transient);
    CHECK(venv.world.apply(venv.step).error().kind == ErrorKind::transient);
}

TEST_CASE("python: the version that is asked for makes the environment", "[unit][steps]") {
    Venv venv;
    PythonVenv step{venv.world.ports(), "jupyter", "/opt/jupyter", "3.12"};
    REQUIRE(venv.world.apply(step).has_value());
    CHECK(venv.world.commands.all_with("venv").back().argv.front() == "/usr/bin/python3.12");
    CHECK(step.fingerprint() != venv.step.fingerprint());
    venv.world.commands.when({"worker", "environment"})
        .exits(0, R"({"exists":true,"python":"3.12.1","packages":{"pip":"23.0.1"}})");
    CHECK(venv.world.check(step).value().satisfied);
}

TEST_CASE("python: an environment of another version is the user's to move away", "[unit][steps]") {
    Venv venv;
    venv.world.commands.when({"worker", "environment"})
        .exits(0, R"({"exists":true,"python":"3.11.2","packages":{"pip":"23.0.1"}})");
    PythonVenv step{venv.world.ports(), "jupyter", "/opt/jupyter", "3.1"};
    CHECK(venv.world.check(step).value().reason == "the Python at /opt/jupyter is 3.11.2, not 3.1");
    venv.world.context.last = "of the one that was finished";
    const auto applied = venv.world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(applied.error().next, ContainsSubstring("mv /opt/jupyter /opt/jupyter.old"));
    CHECK(venv.world.commands.all_with("venv").empty());
}
