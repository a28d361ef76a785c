#include "agent/steps/apt_packages.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

namespace {

CommandOutcome apt_ended(int code, std::string errors, std::string output = {}) {
    CommandOutcome outcome;
    outcome.argv = {"/usr/bin/apt-get", "install"};
    outcome.status = Exited{code};
    outcome.output = std::move(output);
    outcome.error_tail = std::move(errors);
    return outcome;
}

} // namespace

TEST_CASE("apt_packages: what dpkg does not hold installed is missing", "[unit][steps]") {
    struct Row {
        std::string said; // of git
        bool missing;
    };
    const auto row = GENERATE(Row{"git\tii \t1:2.39.2-1.1\n", false},
                              Row{"", true},
                              Row{"git\tun \t\n", true},
                              Row{"git\trc \t1:2.39.2-1.1\n", true},
                              Row{"git\tiU \t1:2.39.2-1.1\n", true},
                              Row{"git\tiF \t1:2.39.2-1.1\n", true},
                              Row{"git\thi \t1:2.39.2-1.1\n", false}, // on hold, and installed
                              Row{"git-man\tii \t1:2.39.2-1.1\n", true},
                              Row{"git\tii\n", true},
                              Row{"git\t\t1\n", true});
    CHECK(missing_packages({"git"}, row.said) == (row.missing ? Words{"git"} : Words{}));
}

TEST_CASE("apt_packages: a pin is met by its version alone, no pin by any", "[unit][steps]") {
    const std::string said = "git\tii \t1:2.39.2-1.1\ncurl\tii \t7.88.1-10\n";
    CHECK(missing_packages({"git=1:2.39.2-1.1", "curl"}, said).empty());
    CHECK(missing_packages({"git=1:2.39.2", "curl=7.88.1-10", "wget"}, said) ==
          Words{"git=1:2.39.2", "wget"});
}

TEST_CASE("apt_packages: what apt-get said becomes a kind and a next step", "[unit][steps]") {
    struct Row {
        int code;
        std::string said;
        ErrorKind kind;
        std::string message;
        std::string next;
    };
    const auto row =
        GENERATE(Row{100,
                     "E: Unable to locate package libgl1-mesa-gxl\n",
                     ErrorKind::permanent,
                     "apt knows no package libgl1-mesa-gxl",
                     "[apt] packages"},
                 Row{100,
                     "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 "
                     "(unattended-upgr)\nE: Unable to acquire the dpkg frontend lock\n",
                     ErrorKind::transient,
                     "apt-get exited with status 100: E: Could not get lock",
                     ""},
                 Row{100,
                     "W: Failed to fetch http://mirror.example.com/debian/dists/bookworm/InRelease "
                     " Temporary "
                     "failure resolving 'mirror.example.com'\n",
                     ErrorKind::transient,
                     "Temporary failure resolving",
                     ""},
                 Row{100,
                     "E: Failed to fetch http://mirror.example.com/x.deb  404  Not Found\nE: "
                     "Unable to fetch "
                     "some archives, maybe run apt-get update or try with --fix-missing?\n",
                     ErrorKind::transient,
                     "404  Not Found",
                     ""},
                 Row{100,
                     "E: Write error - write (28: No space left on device)\nE: Failed to fetch x\n",
                     ErrorKind::permanent,
                     "No space left on device",
                     "boot disk"},
                 Row{100,
                     "E: Version '9' for 'git' was not found\n",
                     ErrorKind::permanent,
                     "Version '9' for 'git' was not found",
                     ""},
                 Row{1, "", ErrorKind::permanent, "apt-get exited with status 1", ""});
    const Error error = apt_error(apt_ended(row.code, row.said));
    CHECK(error.kind == row.kind);
    CHECK_THAT(error.message, ContainsSubstring(row.message));
    CHECK_THAT(error.next, ContainsSubstring(row.next));
}

TEST_CASE("apt_packages: an unknown package is named even behind other complaints",
          "[unit][steps]") {
    const Error error =
        apt_error(apt_ended(100,
                            "W: Failed to fetch http://mirror  Connection timed out\n"
                            "E: Unable to locate package \x1b[31mno-such-package\n"));
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(error.message == "apt knows no package ?[31mno-such-package");
}

TEST_CASE("apt_packages: nothing asked for asks nobody", "[unit][steps]") {
    StepWorld world;
    AptPackages step{{}};
    CHECK(world.check(step).value().satisfied);
    CHECK(world.commands.ran.empty());
}

TEST_CASE("apt_packages: dpkg is asked for names, and what it lacks is named", "[unit][steps]") {
    StepWorld world;
    AptPackages step{{"wget", "git=1:2.39.2-1.1", "wget"}};
    world.commands.when({"dpkg-query"}).exits(1, "git\tii \t1:2.39.2-1.1\n", "no packages found\n");
    const auto checked = world.check(step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK(checked.reason == "not installed: wget");
    const auto& argv = world.commands.ran.front().argv;
    CHECK(Words(argv.end() - 3, argv.end()) == Words{"--", "git", "wget"});
}

TEST_CASE("apt_packages: dpkg in trouble is an Error, not an empty machine", "[unit][steps]") {
    StepWorld world;
    AptPackages step{{"git"}};
    SECTION("it could not read its database") {
        world.commands.when({"dpkg-query"}).exits(2, "", "dpkg-query: error: corrupt\n");
    }
    SECTION("it was killed") {
        world.commands.when({"dpkg-query"}).is_killed(SIGKILL);
    }
    SECTION("it did not end") {
        world.commands.when({"dpkg-query"}).times_out();
    }
    CHECK(world.check(step).has_error());
}

TEST_CASE("apt_packages: the lists are fetched, then all is installed by one call",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{{"wget", "git=1:2.39.2-1.1"}};
    world.commands.when({"apt-get"}).exits(0);
    REQUIRE(world.apply(step).has_value());
    REQUIRE(world.commands.ran.size() == 2);
    CHECK(FakeCommands::has_word(world.commands.ran[0], "update"));
    const auto& install = world.commands.ran[1];
    CHECK(Words(install.argv.end() - 6, install.argv.end()) ==
          Words{"install", "--yes", "--no-install-recommends", "--", "git=1:2.39.2-1.1", "wget"});
    CHECK(install.environment.at("DEBIAN_FRONTEND") == "noninteractive");
    for (const std::string word : {"remove", "upgrade", "--allow-downgrades", "--force-yes"})
        CHECK_FALSE(FakeCommands::has_word(install, word));
}

TEST_CASE("apt_packages: lists that cannot be fetched are tried again, and nothing is installed",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{{"git"}};
    world.commands.when({"update"}).exits(100, "", "E: The repository is not signed.\n");
    const auto applied = world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::transient);
    CHECK_THAT(applied.error().message, ContainsSubstring("fetching the package lists: "));
    CHECK(world.commands.ran.size() == 1);
}

TEST_CASE("apt_packages: the order in the configuration is no other input", "[unit][steps]") {
    CHECK(AptPackages{{"b", "a", "b"}}.fingerprint() == AptPackages{{"a", "b"}}.fingerprint());
    CHECK(AptPackages{{"a"}}.fingerprint() != AptPackages{{"a=1"}}.fingerprint());
}
