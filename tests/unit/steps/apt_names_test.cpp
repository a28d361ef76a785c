#include "agent/steps/apt_names.hpp"
#include "agent/steps/apt_packages.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <set>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;
using Names = std::set<std::string>;

namespace {

const Words asked{"libasound2", "libegl1-mesa", "libgl1-mesa-glx", "libxrandr2"};
const Names bookworm{"libasound2",
                     "libegl1",
                     "libegl1-mesa",
                     "libgl1",
                     "libgl1-mesa-dri",
                     "libgl1-mesa-glx",
                     "libxrandr2"};
const Names trixie{"libasound2t64", "libegl1", "libgl1", "libgl1-mesa-dri", "libxrandr2"};

constexpr const char* policy_of_trixie =
    "libasound2:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"
    "libasound2t64:\n  Installed: (none)\n  Candidate: 1.2.14-1\n  Version table:\n"
    "     1.2.14-1 500\n        500 http://archive.example trixie/main amd64 Packages\n";

} // namespace

TEST_CASE("apt names: an old name stays as long as the release has it", "[unit][steps]") {
    const auto names = release_names(asked, bookworm);
    CHECK(names.packages == asked);
    CHECK(names.renamed.empty());
}

TEST_CASE("apt names: what went is taken by its newer name, and said", "[unit][steps]") {
    const auto names = release_names(asked, trixie);
    CHECK(names.packages ==
          Words{"libasound2t64", "libegl1", "libgl1", "libgl1-mesa-dri", "libxrandr2"});
    CHECK(names.renamed == Words{"libasound2 as libasound2t64",
                                 "libegl1-mesa as libegl1",
                                 "libgl1-mesa-glx as libgl1 and libgl1-mesa-dri"});
}

TEST_CASE("apt names: a pin keeps its name, and it is told which it would be", "[unit][steps]") {
    const auto names = release_names({"libasound2=1.2.8-1"}, trixie);
    CHECK(names.packages == Words{"libasound2=1.2.8-1"});
    CHECK(names.renamed.empty());
    CHECK(names.pinned == Words{"libasound2=1.2.8-1 is libasound2t64 in this release, and a pin "
                                "keeps its name"});
}

TEST_CASE("apt names: what a release has in no form keeps its name, for apt to say so",
          "[unit][steps]") {
    CHECK(release_names({"libnowhere1"}, trixie).packages == Words{"libnowhere1"});
    // One of the two alone is not what the old one was.
    CHECK(release_names({"libgl1-mesa-glx"}, {"libgl1"}).packages == Words{"libgl1-mesa-glx"});
}

TEST_CASE("apt names: two that have become one are one", "[unit][steps]") {
    CHECK(release_names({"libncurses5-dev", "libncursesw5-dev"}, {"libncurses-dev"}).packages ==
          Words{"libncurses-dev"});
}

TEST_CASE("apt names: only what may have another name is asked for", "[unit][steps]") {
    CHECK(names_to_ask({"git", "wget=1", "libfoo-dev", "lib"}).empty());
    CHECK(names_to_ask({"libasound2=1.2", "git"}) == Words{"libasound2", "libasound2t64"});
}

TEST_CASE("apt names: what apt-cache says of a release", "[unit][steps]") {
    CHECK(installable_names(policy_of_trixie) == Names{"libasound2t64"});
    CHECK(installable_names("N: Unable to locate package libx\n").empty());
}

TEST_CASE("apt_packages: a package that went is met by its newer name, without asking apt",
          "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"libasound2", "libgl1-mesa-glx", "libasound2"}};
    SECTION("it is there") {
        world.commands.when({"dpkg-query"})
            .exits(1, "libasound2t64\tii \t1\nlibgl1\tii \t1\nlibgl1-mesa-dri\tii \t1\n");
        const auto checked = world.check(step).value();
        CHECK(checked.satisfied);
        CHECK(checked.reason == "libasound2 as libasound2t64; libgl1-mesa-glx as libgl1 and "
                                "libgl1-mesa-dri");
        CHECK(world.commands.ran.size() == 1);
    }
    SECTION("a part of it is missing") {
        world.commands.when({"dpkg-query"}).exits(1, "libgl1\tii \t1\nlibasound2\tii \t1\n");
        CHECK(world.check(step).value().reason == "not installed: libgl1-mesa-glx");
    }
    SECTION("it is installed by that name") {
        world.commands.when({"dpkg-query"}).exits(0);
        world.commands.when({"apt-get"}).exits(0);
        world.commands.when({"apt-cache"})
            .exits(0, std::string{policy_of_trixie} + "libgl1-mesa-glx:\n  Candidate: 20.3\n");
        REQUIRE(world.apply(step).has_value());
        const auto& argv = world.commands.ran.back().argv;
        CHECK(Words(argv.end() - 3, argv.end()) == Words{"--", "libasound2t64", "libgl1-mesa-glx"});
        CHECK(world.context.lines.front() == "this release has libasound2 as libasound2t64");
    }
}

TEST_CASE("apt_packages: a pin on a name that went fails with the newer name", "[unit][steps]") {
    StepWorld world;
    AptPackages step{world.ports(), {"libasound2=1.2.8-1"}};
    world.commands.when({"dpkg-query"}).exits(1);
    world.commands.when({"update"}).exits(0);
    world.commands.when({"apt-cache"}).exits(0, policy_of_trixie);
    world.commands.when({"install"})
        .exits(100, "", "E: Version '1.2.8-1' for 'libasound2' was not found\n");
    const auto applied = world.apply(step);
    REQUIRE(applied.has_error());
    CHECK_THAT(applied.error().next, ContainsSubstring("libasound2=1.2.8-1 is libasound2t64"));
}

TEST_CASE("apt_packages: a clock that is certainly wrong is waited for before any list is fetched",
          "[unit][steps]") {
    StepWorld world;
    world.clock.wall_jump = -std::chrono::hours{24 * 365};
    AptPackages step{world.ports(), {"git"}};
    world.commands.when({"dpkg-query"}).exits(0);
    world.commands.when({"apt-get"}).exits(0);
    CHECK(world.apply(step).has_value());
    REQUIRE(world.context.hold_ups.size() == 1);
    CHECK(world.context.hold_ups.front().ends_with("waiting for it to be set"));
    CHECK(world.clock.slept.size() == 60);
}
