#include "agent/steps/service_user.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Lines = std::vector<std::string>;

namespace {

constexpr const char* no_home = "stat: cannot statx '/home/jupyter': No such file or directory\n";

// A machine without the user, whose programs do what they are for.
class Machine {
public:
    Machine() {
        world.commands.when({"useradd"})
            .does([this](const Command&) {
                add_user();
                home = "1000 directory\n";
            })
            .exits(0);
        world.commands.when({"mkhomedir_helper"})
            .does([this](const Command&) { home = "1000 directory\n"; })
            .exits(0);
        look_at_home();
    }
    void add_user() { world.accounts.add("jupyter").uid = 1000; }
    // `stat` says what `home` is at that moment.
    void look_at_home() {
        world.commands
            .when([this](const Command& command) {
                return FakeCommands::has_word(command, "stat") && home.empty();
            })
            .exits(1, "", no_home);
        for (const std::string seen : {"1000 directory\n", "0 directory\n", "1000 regular file\n"})
            world.commands
                .when([this, seen](const Command& command) {
                    return FakeCommands::has_word(command, "stat") && home == seen;
                })
                .exits(0, seen);
    }
    [[nodiscard]] Lines changes() const {
        Lines lines;
        for (const auto& command : world.commands.ran)
            if (!FakeCommands::has_word(command, "stat") &&
                !FakeCommands::has_word(command, "getent"))
                lines.push_back(FakeCommands::line(command));
        return lines;
    }

    StepWorld world;
    std::string home; // what stat prints; empty: it is not there
    ServiceUser step{world.ports(), "jupyter"};
};

constexpr const char* useradd =
    "/usr/sbin/useradd --create-home --user-group --shell /bin/bash --comment Jupyter -- jupyter";
constexpr const char* useradd_with_group =
    "/usr/sbin/useradd --create-home --no-user-group --gid jupyter --shell /bin/bash --comment "
    "Jupyter -- jupyter";

} // namespace

TEST_CASE("service_user: a user that exists is left as it is", "[unit][steps]") {
    Machine machine;
    machine.add_user();
    machine.home = "1000 directory\n";
    CHECK(machine.world.check(machine.step).value().satisfied);
    CHECK(machine.changes().empty());
}

TEST_CASE("service_user: who is missing is made with a home and a group", "[unit][steps]") {
    Machine machine;
    const auto checked = machine.world.check(machine.step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK(checked.reason == "there is no user jupyter");
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.changes() == Lines{useradd});
    CHECK(machine.world.check(machine.step).value().satisfied);
}

TEST_CASE("service_user: somebody else may make him between our look and our useradd",
          "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"useradd"})
        .does([&](const Command&) { machine.add_user(); })
        .exits(9, "", "useradd: user 'jupyter' already exists\n");
    SECTION("with a home") {
        machine.home = "1000 directory\n";
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.changes() == Lines{useradd});
    }
    SECTION("his home is still to come") {
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.changes() == Lines{useradd, "/usr/sbin/mkhomedir_helper jupyter"});
    }
}

TEST_CASE("service_user: a group of that name becomes his, one of the system's does not",
          "[unit][steps]") {
    Machine machine;
    bool second = false;
    machine.world.commands.when({"useradd", "--user-group"})
        .exits(9,
               "",
               "useradd: group jupyter exists - if you want to add this user to that group, use "
               "-g.\n");
    machine.world.commands.when({"useradd", "--gid"})
        .does([&](const Command&) {
            second = true;
            machine.add_user();
            machine.home = "1000 directory\n";
        })
        .exits(0);
    SECTION("of people") {
        machine.world.commands.when({"getent", "group"}).exits(0, "jupyter:x:1003:\n");
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.changes() == Lines{useradd, useradd_with_group});
    }
    SECTION("of the system") {
        machine.world.commands.when({"getent", "group"}).exits(0, "jupyter:x:27:admin\n");
        const auto applied = machine.world.apply(machine.step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::misconfigured);
        CHECK_THAT(applied.error().next, ContainsSubstring("[machine] user"));
        CHECK_FALSE(second);
    }
    SECTION("one that getent cannot read") {
        machine.world.commands.when({"getent", "group"}).exits(0, "jupyter\n");
        CHECK(machine.world.apply(machine.step).has_error());
        CHECK_FALSE(second);
    }
}

TEST_CASE("service_user: an account without its home gets it as at a first login",
          "[unit][steps]") {
    Machine machine;
    machine.add_user();
    const auto checked = machine.world.check(machine.step).value();
    CHECK(checked.reason == "the home of jupyter, /home/jupyter, is not there");
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.changes() == Lines{"/usr/sbin/mkhomedir_helper jupyter"});
    CHECK(machine.world.check(machine.step).value().satisfied);
}

TEST_CASE("service_user: a home that is another's is told, not given away", "[unit][steps]") {
    Machine machine;
    machine.add_user();
    machine.home = GENERATE("0 directory\n", "1000 regular file\n");
    const auto checked = machine.world.check(machine.step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(checked.error().message, ContainsSubstring("/home/jupyter"));
    CHECK_FALSE(checked.error().next.empty());
    CHECK(machine.changes().empty());
}

TEST_CASE("service_user: a home that hangs is an Error, and so is one without a path",
          "[unit][steps]") {
    Machine machine;
    machine.add_user();
    SECTION("it hangs") {
        machine.world.commands.when({"stat"}).times_out();
        CHECK(machine.world.check(machine.step).error().kind == ErrorKind::transient);
    }
    SECTION("there is none") {
        machine.world.accounts.users["jupyter"].home = "";
        CHECK_THAT(machine.world.check(machine.step).error().message,
                   ContainsSubstring("has no home"));
    }
}

TEST_CASE("service_user: what useradd said becomes a kind and a next step", "[unit][steps]") {
    struct Row {
        int code;
        std::string said;
        ErrorKind kind;
        std::string next;
    };
    const auto row = GENERATE(
        Row{1,
            "useradd: cannot lock /etc/passwd; try again later.",
            ErrorKind::transient,
            "/etc/.pwd.lock"},
        Row{10,
            "useradd: cannot lock /etc/group; try again later.",
            ErrorKind::transient,
            "useradd jupyter"},
        Row{3, "useradd: invalid user name 'jupyter'", ErrorKind::misconfigured, "[machine] user"});
    Machine machine;
    machine.world.commands.when({"useradd"}).exits(row.code, "", row.said + "\n");
    const auto applied = machine.world.apply(machine.step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == row.kind);
    CHECK(applied.error().message == "making the user jupyter: useradd exited with status " +
                                         std::to_string(row.code) + ": " + row.said);
    CHECK_THAT(applied.error().next, ContainsSubstring(row.next));
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
