#include "agent/steps/apt_packages.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
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
constexpr const char* interrupted =
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. "
    "\n";
// What `dpkg-query` says of all packages.
constexpr const char* whole = "wget\tii \twget\n";
constexpr const char* cut_off = "big\tiHR\tbig:amd64\nwget\tii \twget\n";

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
    world.commands.when({"dpkg-query"}).exits(0, whole);
    REQUIRE(world.apply(step).has_value());
    REQUIRE(world.commands.all_with("apt-get").size() == 2);
    CHECK(FakeCommands::has_word(world.commands.ran[0], "update"));
    const auto& install = world.commands.ran.back();
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

TEST_CASE("apt_packages: whoever holds a lock is waited for ten minutes, and named",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"dpkg-query"}).exits(0, whole);
    world.commands.when({"update"}).exits(0);
    world.commands.when({"install"}).exits(0);
    SECTION("the lists', and it ends") {
        world.commands.when({"update"})
            .exits(100, "", lists_locked)
            .exits(100, "", lists_locked)
            .exits(0);
        CHECK(world.apply(step).has_value());
        CHECK(world.commands.all_with("update").size() == 3);
        CHECK(world.context.phrases.at(1) == "waiting up to 10 min for process 812 (apt-get), "
                                             "which holds /var/lib/apt/lists/lock");
        CHECK(std::count_if(world.context.phrases.begin(),
                            world.context.phrases.end(),
                            [](const std::string& phrase) {
                                return phrase.starts_with("waiting");
                            }) == 1); // said once
    }
    SECTION("the front end's, by a script") {
        world.put("/proc/812/cmdline",
                  std::string{"/usr/bin/python3\0/usr/bin/unattended-upgrade\0--secret=x\0", 56});
        world.commands.when({"install"})
            .exits(100,
                   "",
                   "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 "
                   "(unattended-upgr)\nE: Unable to acquire the dpkg frontend lock "
                   "(/var/lib/dpkg/lock-frontend), is another process using it?\n")
            .exits(0);
        CHECK(world.apply(step).has_value());
        CHECK(world.context.phrases.back() ==
              "waiting up to 10 min for process 812 (/usr/bin/python3 "
              "/usr/bin/unattended-upgrade), which holds /var/lib/dpkg/lock-frontend");
    }
    SECTION("that of the archives, and nobody knows by whom") {
        world.commands.when({"install"})
            .exits(100,
                   "",
                   "E: Could not get lock /var/cache/apt/archives/lock - open (11: Resource "
                   "temporarily unavailable)\n")
            .exits(0);
        CHECK(world.apply(step).has_value());
        CHECK(world.context.phrases.back() == "waiting up to 10 min for another program, which "
                                              "holds /var/cache/apt/archives/lock");
    }
    SECTION("for ever") {
        world.commands.when({"update"}).exits(100, "", lists_locked);
        const auto begin = world.clock.now();
        const auto applied = world.apply(step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::transient);
        CHECK(applied.error().message == "/var/lib/apt/lists/lock has been held for 10 min by "
                                         "process 812 (apt-get)");
        CHECK_THAT(applied.error().next, ContainsSubstring("end it"));
        CHECK(world.clock.now() - begin <= std::chrono::minutes{11});
        CHECK(world.commands.all_with("install").empty());
    }
}

TEST_CASE("apt_packages: after a wait it is said what apt is at", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"dpkg-query"}).exits(0, whole);
    world.commands.when({"update"}).exits(100, "", lists_locked).exits(0, "Hit:1 http://x y\n");
    world.commands.when({"install"})
        .exits(0,
               "Reading package lists...\nGet:1 http://x git 1:2 [1 B]\nGet:2 http://x m 1 [1 B]\n"
               "Unpacking git (1:2) ...\nSetting up git (1:2) ...\n");
    REQUIRE(world.apply(step).has_value());
    CHECK(Words(world.context.phrases.begin() + 2, world.context.phrases.end()) ==
          Words{"fetching",
                "installing 1 package",
                "fetching",
                "unpacking git (1:2)",
                "setting up git (1:2)"});
}

TEST_CASE("apt_packages: an interrupted dpkg is put right first", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"dpkg-query"}).exits(0, whole);
    world.commands.when({"update"}).exits(0);
    world.commands.when({"install"}).exits(100, "", interrupted).exits(0);
    SECTION("at once") {
        world.commands.when({"dpkg", "--configure", "--pending"}).exits(0);
        CHECK(world.apply(step).has_value());
        CHECK(world.commands.all_with("install").size() == 2);
    }
    SECTION("once its lock is free") {
        const std::string held = GENERATE("another process", "/usr/bin/python3.13 process");
        world.commands.when({"dpkg", "--configure"})
            .exits(2,
                   "",
                   "dpkg: error: dpkg frontend lock was locked by " + held +
                       " with pid 9\nNote: removing the lock file is always wrong, can damage the "
                       "locked area\n")
            .exits(0);
        world.put("/proc/9/cmdline", "/usr/bin/dpkg");
        CHECK(world.apply(step).has_value());
        CHECK(world.commands.all_with("--configure").size() == 2);
        CHECK(world.context.phrases.back() ==
              "waiting up to 10 min for process 9 (/usr/bin/dpkg), which holds dpkg's lock");
    }
    SECTION("though a package that nobody asked for cannot be finished") {
        world.commands.when({"dpkg", "--configure"})
            .exits(1, "", "dpkg: error processing package x (--configure):\n failed\n");
        CHECK(world.apply(step).has_value());
    }
    SECTION("it cannot be") {
        world.commands.when({"dpkg", "--configure"}).exits(2, "", "dpkg: error: no database\n");
        const auto applied = world.apply(step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::permanent);
        CHECK_THAT(applied.error().message, ContainsSubstring("no database"));
        CHECK_THAT(applied.error().next, ContainsSubstring("dpkg --configure -a"));
        CHECK(world.commands.all_with("install").size() == 1);
    }
    SECTION("it stays so") {
        world.commands.when({"install"}).exits(100, "", interrupted);
        world.commands.when({"dpkg", "--configure"}).exits(0);
        CHECK(world.apply(step).has_error());
        CHECK(world.commands.all_with("--configure").size() == 1);
    }
}

TEST_CASE("apt_packages: what dpkg was unpacking when it was killed is unpacked again",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"dpkg-query"}).exits(0, cut_off);
    world.commands.when({"dpkg", "--configure"}).exits(0);
    world.commands.when({"apt-get"}).exits(0);
    SECTION("it can be") {
        world.commands.when({"--reinstall"}).exits(100, "", interrupted).exits(0);
        REQUIRE(world.apply(step).has_value());
        const auto again = world.commands.all_with("--reinstall");
        REQUIRE(again.size() == 2);
        CHECK(Words(again[1].argv.end() - 2, again[1].argv.end()) == Words{"--", "big:amd64"});
        CHECK(world.commands.ran.back().argv.back() == "git");
    }
    SECTION("its archive is gone") {
        world.commands.when({"--reinstall"})
            .exits(100,
                   "",
                   "E: The package big needs to be reinstalled, but I can't find an archive for "
                   "it.\n");
        const auto applied = world.apply(step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::permanent);
        CHECK_THAT(applied.error().message, ContainsSubstring("The package big needs"));
        CHECK_THAT(applied.error().next,
                   ContainsSubstring("dpkg --remove --force-remove-reinstreq big`"));
    }
}

TEST_CASE("apt_packages: what was there without what it depends on is completed, nothing removed",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    const std::string unmet = "The following packages have unmet dependencies:\n"
                              " company : Depends: company-lib (>= 3) but it is not installable\n";
    const std::string said =
        "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages (or specify a "
        "solution).\n";
    world.commands.when({"dpkg-query"}).exits(0, whole);
    world.commands.when({"update"}).exits(0);
    SECTION("it can be") {
        world.commands.when({"install"}).exits(100, unmet, said).exits(0);
        world.commands.when({"--fix-broken"}).exits(0);
        REQUIRE(world.apply(step).has_value());
        const auto completed = world.commands.all_with("--fix-broken");
        REQUIRE(completed.size() == 1);
        CHECK(FakeCommands::has_word(completed[0], "--no-remove"));
    }
    SECTION("it cannot be") {
        world.commands.when({"install"}).exits(100, unmet, said);
        world.commands.when({"--fix-broken"})
            .exits(100, "", "E: Packages need to be removed but remove is disabled.\n");
        const auto applied = world.apply(step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::permanent);
        CHECK_THAT(applied.error().message,
                   ContainsSubstring("company : Depends: company-lib (>= 3)"));
        CHECK_THAT(applied.error().next, ContainsSubstring("--fix-broken install"));
    }
}

TEST_CASE("apt_packages: a package that nobody asked for may fail", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"update"}).exits(0);
    world.commands.when({"install"})
        .exits(100,
               "Setting up company (1.0) ...\n",
               "dpkg: error processing package company (--configure):\n installed company package "
               "post-installation script subprocess returned error exit status 7\nE: Sub-process "
               "/usr/bin/dpkg returned an error code (1)\n");
    SECTION("what was asked for is there") {
        world.commands.when({"dpkg-query"}).exits(0, "git\tii \tgit\ncompany\tiF \tcompany\n");
        CHECK(world.apply(step).has_value());
        CHECK_THAT(world.context.lines.back(), ContainsSubstring("company: installed company"));
    }
    SECTION("it is not") {
        world.commands.when({"dpkg-query"}).exits(0, "git\tiU \tgit\ncompany\tiF \tcompany\n");
        CHECK(world.apply(step).has_error());
    }
}

TEST_CASE("apt_packages: what apt does not know, of lists that it could not fetch, is asked again",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"dpkg-query"}).exits(0, whole);
    // It succeeds all the same.
    world.commands.when({"update"})
        .exits(
            0,
            "",
            "W: Failed to fetch http://x/debian/InRelease  Could not connect to x:80 (192.0.2.1). "
            "- "
            "connect (111: Connection refused)\nW: Some index files failed to download. They have "
            "been ignored, or old ones used instead.\n");
    SECTION("and not found") {
        world.commands.when({"install"}).exits(100, "", "E: Unable to locate package git\n");
        const auto applied = world.apply(step);
        REQUIRE(applied.has_error());
        CHECK(applied.error().kind == ErrorKind::transient);
        CHECK_THAT(applied.error().message,
                   ContainsSubstring("apt knows no package git") &&
                       ContainsSubstring("Failed to fetch http://x/debian/InRelease"));
        CHECK_THAT(applied.error().next, ContainsSubstring("network"));
    }
    SECTION("and found") {
        world.commands.when({"install"}).exits(0);
        CHECK(world.apply(step).has_value());
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
