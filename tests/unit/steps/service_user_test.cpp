#include "agent/steps/service_user.hpp"
#include "tests/support/lock_holder.hpp"
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

constexpr const char* mark = "/var/lib/agent/making-user-jupyter";
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
        for (const char* program : {"sync", "chown", "chmod", "cp", "find", "userdel"})
            world.commands.when({program}).exits(0);
        world.commands.when({"getent"}).exits(0, "jupyter:x:1000:\n");
        look_at_home();
    }
    // useradd, or what makes a home, was under way when the machine went down.
    void was_cut_short() { world.put(mark, ""); }
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
                !FakeCommands::has_word(command, "getent") &&
                !FakeCommands::has_word(command, "sync"))
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

TEST_CASE("service_user: what useradd wrote is on the disk before it counts", "[unit][steps]") {
    Machine machine;
    bool marked = false;
    machine.world.commands.when({"useradd"})
        .does([&](const Command&) {
            marked = machine.world.has(mark);
            machine.add_user();
            machine.home = "1000 directory\n";
        })
        .exits(0);
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(marked);
    CHECK(FakeCommands::line(machine.world.commands.ran.back()) ==
          "/usr/bin/sync --file-system -- /home/jupyter");
    CHECK_FALSE(machine.world.has(mark));
}

TEST_CASE("service_user: a user whose making was cut short is completed", "[unit][steps]") {
    const std::string roots_directories =
        "/usr/bin/find /home/jupyter -xdev -mindepth 1 -user 0 -type d -prune -exec "
        "/usr/bin/rmdir --ignore-fail-on-non-empty -- {} +";
    const std::string skeleton =
        "/usr/bin/cp --recursive --force --no-target-directory -- /etc/skel /home/jupyter";
    Machine machine;
    machine.add_user();
    machine.was_cut_short();
    SECTION("his home may hold empty files") {
        machine.home = "1000 directory\n";
        CHECK(machine.world.check(machine.step).value().reason ==
              "the making of the user jupyter was cut short");
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.changes() ==
              Lines{"/usr/bin/chmod u+rwx -- /home/jupyter", roots_directories, skeleton});
        for (const char* program : {"cp", "find"})
            for (const auto& command : machine.world.commands.all_with(program))
                CHECK(command.as->name == "jupyter");
    }
    SECTION("his home is still root's") {
        machine.home = "0 directory\n";
        machine.world.accounts.users["jupyter"].gid = 1003;
        machine.world.commands.when({"chown"})
            .does([&](const Command&) { machine.home = "1000 directory\n"; })
            .exits(0);
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.changes() ==
              Lines{"/usr/bin/chown --no-dereference -- 1000:1003 /home/jupyter",
                    "/usr/bin/chmod u+rwx -- /home/jupyter",
                    roots_directories,
                    skeleton});
    }
    SECTION("his home is missing") {
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.changes() == Lines{"/usr/sbin/mkhomedir_helper jupyter"});
    }
    SECTION("his other entries are missing: he is made again") {
        const std::string missing = GENERATE("shadow", "group", "gshadow");
        machine.world.commands.when({"getent", missing}).exits(2);
        machine.world.commands.when({"userdel"})
            .does([&](const Command&) { machine.world.accounts.users.clear(); })
            .exits(0);
        REQUIRE(machine.world.apply(machine.step).has_value());
        // A home that is there already is not filled by useradd.
        CHECK(machine.changes() == Lines{"/usr/sbin/userdel -- jupyter",
                                         useradd,
                                         "/usr/bin/chmod u+rwx -- /home/jupyter",
                                         roots_directories,
                                         skeleton});
    }
    SECTION("he came from elsewhere meanwhile") {
        machine.home = "1000 directory\n";
        machine.world.commands.when({"getent", "shadow"}).exits(2);
        machine.world.commands.when({"userdel"}).exits(6, "", "userdel: user 'jupyter' unknown\n");
        REQUIRE(machine.world.apply(machine.step).has_value());
    }
    CHECK_FALSE(machine.world.has(mark));
    CHECK(machine.world.check(machine.step).value().satisfied);
}

TEST_CASE("service_user: an account is not taken for half made after a useradd that only refused",
          "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"useradd"}).exits(3, "", "useradd: invalid user name\n");
    REQUIRE(machine.world.apply(machine.step).has_error());
    machine.add_user();
    machine.home = "1000 directory\n";
    CHECK(machine.world.check(machine.step).value().satisfied);
}

TEST_CASE("service_user: locks that a power cut has left do not stop useradd, living ones do",
          "[unit][steps]") {
    Machine machine;
    machine.world.put("/etc/passwd.lock", "1");
    machine.world.put("/etc/group.lock", "1");
    SECTION("left") {
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK_FALSE(machine.world.has("/etc/passwd.lock"));
        CHECK_FALSE(machine.world.has("/etc/group.lock"));
    }
    SECTION("living") {
        machine.world.put("/etc/.pwd.lock", "");
        const LockHolder holder{machine.world.root() / "/etc/.pwd.lock"};
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.world.has("/etc/passwd.lock"));
    }
}
