#include "agent/steps/apt_packages.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

namespace {

constexpr const char* lists_locked =
    "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 812 (apt-get)\n"
    "E: Unable to lock directory /var/lib/apt/lists/\n";

} // namespace

TEST_CASE("apt_packages: nothing asked for asks nobody", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {}};
    CHECK(world.check(step).value().satisfied);
    CHECK(world.commands.ran.empty());
}

TEST_CASE("apt_packages: dpkg is asked for names, and what it lacks is named", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"wget", "git=1:2.39.2-1.1", "wget"}};
    world.commands.when({"dpkg-query"}).exits(1, "git\tii \t1:2.39.2-1.1\n", "no packages found\n");
    const auto checked = world.check(step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK(checked.reason == "not installed: wget");
    const auto& argv = world.commands.ran.front().argv;
    CHECK(Words(argv.end() - 3, argv.end()) == Words{"--", "git", "wget"});
}

TEST_CASE("apt_packages: dpkg in trouble is an Error, not an empty machine", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
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
    AptPackages step{world.ports(), {"wget", "git=1:2.39.2-1.1"}};
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
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"update"}).exits(100, "", "E: The repository is not signed.\n");
    const auto applied = world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::transient);
    CHECK_THAT(applied.error().message, ContainsSubstring("fetching the package lists: "));
    CHECK(world.commands.ran.size() == 1);
}

TEST_CASE("apt_packages: another version than pinned is left alone until somebody asks",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git=1:9", "wget"}};
    world.context.last = step.fingerprint();
    world.commands.when({"dpkg-query"}).exits(0, "git\tii \t1:2.39.2-1.1\nwget\tii \t1\n");
    world.commands.when({"apt-get"}).exits(0);
    SECTION("nobody asks") {
        const auto checked = world.check(step).value();
        CHECK(checked.satisfied);
        CHECK(checked.reason == "in another version than pinned: git=1:9; `agent retry "
                                "apt_packages` changes that");
        REQUIRE(world.apply(step).has_value());
        const auto& argv = world.commands.ran.back().argv;
        CHECK(Words(argv.end() - 2, argv.end()) == Words{"--", "wget"});
    }
    SECTION("a person asks: also an older version is installed") {
        world.context.asked = true;
        CHECK(world.check(step).value().reason == "not installed: git=1:9");
        REQUIRE(world.apply(step).has_value());
        const auto& argv = world.commands.ran.back().argv;
        CHECK(Words(argv.end() - 4, argv.end()) ==
              Words{"--allow-downgrades", "--", "git=1:9", "wget"});
        CHECK_FALSE(world.check(step).value().satisfied); // dpkg still says the other one
    }
}

TEST_CASE("apt_packages: the order in the configuration is no other input", "[unit][steps]") {
    StepWorld world;
    const auto fingerprint = [&](Words packages) {
        return AptPackages{world.ports(), std::move(packages)}.fingerprint();
    };
    CHECK(fingerprint({"b", "a", "b"}) == fingerprint({"a", "b"}));
    CHECK(fingerprint({"a"}) != fingerprint({"a=1"}));
}

TEST_CASE("apt_packages: what another package provides is not asked for again", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"mail-transport-agent"}};
    const std::string format = "--showformat=${Package}\\t${db:Status-Abbrev}\\t";
    world.commands.when({format + "${Version}\\n"}).exits(1, "", "no packages found\n");
    SECTION("one provides it") {
        world.commands.when({format + "${Provides}\\n"})
            .exits(0, "exim4\tii \tmail-transport-agent\n");
        CHECK(world.check(step).value().satisfied);
    }
    SECTION("none does") {
        world.commands.when({format + "${Provides}\\n"}).exits(0, "git\tii \tgit-completion\n");
        CHECK(world.check(step).value().reason == "not installed: mail-transport-agent");
    }
}

TEST_CASE("apt_packages: lists that another program holds are waited for, and it is named",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"install"}).exits(0);
    SECTION("it ends") {
        world.commands.when({"update"})
            .exits(100, "", lists_locked)
            .exits(100, "", lists_locked)
            .exits(0);
        CHECK(world.apply(step).has_value());
        CHECK(world.commands.all_with("update").size() == 3);
        CHECK_THAT(
            world.context.phrases.at(1),
            ContainsSubstring("/var/lib/apt/lists/lock. It is held by process 812 (apt-get)"));
    }
    SECTION("it does not") {
        world.commands.when({"update"}).exits(100, "", lists_locked);
        const auto begin = world.clock.now();
        const auto applied = world.apply(step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::transient);
        CHECK_THAT(applied.error().message, ContainsSubstring("process 812"));
        CHECK(world.clock.now() - begin <= std::chrono::seconds{125});
        CHECK(world.commands.all_with("install").empty());
    }
}

TEST_CASE("apt_packages: an interrupted dpkg is put right first", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"update"}).exits(0);
    world.commands.when({"install"})
        .exits(100,
               "",
               "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct "
               "the problem.\n")
        .exits(0);
    SECTION("at once") {
        world.commands.when({"dpkg", "--configure", "--pending"}).exits(0);
        CHECK(world.apply(step).has_value());
        CHECK(world.commands.all_with("install").size() == 2);
    }
    SECTION("once its lock is free") {
        world.commands.when({"dpkg", "--configure"})
            .exits(
                2, "", "dpkg: error: dpkg frontend lock was locked by another process with pid 9\n")
            .exits(0);
        CHECK(world.apply(step).has_value());
        CHECK(world.commands.all_with("--configure").size() == 2);
    }
    SECTION("it cannot be") {
        world.commands.when({"dpkg", "--configure"})
            .exits(1, "", "dpkg: error processing package x\n");
        const auto applied = world.apply(step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::permanent);
        CHECK_THAT(applied.error().message, ContainsSubstring("error processing package x"));
        CHECK_THAT(applied.error().next, ContainsSubstring("dpkg --configure -a"));
        CHECK(world.commands.all_with("install").size() == 1);
    }
}

TEST_CASE("apt_packages: a bundle of certificates that is not there is told before anything else",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}, {"", {}, "/etc/company.pem"}};
    const auto applied = world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(applied.error().message, ContainsSubstring("/etc/company.pem"));
    CHECK(world.commands.ran.empty());
}
