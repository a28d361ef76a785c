#include "agent/steps/apt_repositories.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <list>
#include <string>
#include <utility>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Repository = AptRepositories::Repository;

namespace {

constexpr const char* sources = "/etc/apt/sources.list.d/gcsfuse.sources";
constexpr const char* keyring = "/etc/apt/keyrings/agent-gcsfuse.asc";
constexpr const char* armoured = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
constexpr const char* text =
    "# Written by agent for [[apt.repository]] gcsfuse of its configuration; what is changed here "
    "is lost.\n"
    "Types: deb\n"
    "URIs: https://packages.example.com/apt\n"
    "Suites: gcsfuse-bookworm\n"
    "Components: main contrib\n"
    "Signed-By: /etc/apt/keyrings/agent-gcsfuse.asc\n";

Repository gcsfuse() {
    return {"gcsfuse",
            "https://packages.example.com/apt",
            "gcsfuse-{codename}",
            {"main", "contrib"},
            armoured,
            {}};
}

CommandOutcome update_ended(int code, std::string errors) {
    CommandOutcome outcome;
    outcome.argv = {"/usr/bin/apt-get", "update"};
    outcome.status = Exited{code};
    outcome.error_tail = std::move(errors);
    return outcome;
}

// A Debian 12 whose apt can fetch everything.
class Machine {
public:
    Machine() {
        world.put("/etc/os-release", "NAME=Debian\nVERSION_CODENAME=bookworm\n");
        world.put("/etc/apt/sources.list.d/debian.sources", "Types: deb\n");
        world.commands.when({"update"}).exits(0);
        world.commands.when({"indextargets"}).exits(0);
    }
    AptRepositories& wants(std::vector<Repository> repositories) {
        return steps.emplace_back(world.ports(), std::move(repositories));
    }
    [[nodiscard]] std::string why_due(AptRepositories& step) {
        const auto checked = world.check(step).value();
        return checked.satisfied ? "" : checked.reason;
    }

    StepWorld world;
    std::list<AptRepositories> steps;
};

} // namespace

TEST_CASE("apt_repositories: none asked for asks nobody", "[unit][steps]") {
    Machine machine;
    CHECK(machine.why_due(machine.wants({})).empty());
    CHECK(machine.world.commands.ran.empty());
}

TEST_CASE("apt_repositories: one is proven from /run, then becomes the machine's",
          "[unit][steps]") {
    Machine machine;
    auto& step = machine.wants({gcsfuse()});
    CHECK(machine.why_due(step) == "apt does not know gcsfuse as it should");
    std::string proven;
    machine.world.commands.when({"update"})
        .does([&](const Command&) {
            CHECK_FALSE(machine.world.has(sources));
            proven = machine.world.content("/run/agent/apt/gcsfuse.sources");
            CHECK(machine.world.content("/run/agent/apt/gcsfuse.asc") ==
                  std::string{armoured} + "\n");
        })
        .exits(0);
    REQUIRE(machine.world.apply(step).has_value());
    CHECK_THAT(proven, ContainsSubstring("\nSigned-By: /run/agent/apt/gcsfuse.asc\n"));
    CHECK(machine.world.content(sources) == text);
    CHECK(machine.world.content(keyring) == std::string{armoured} + "\n");
    CHECK(machine.world.mode(sources) == 0644);
    CHECK(machine.world.mode(keyring) == 0644);
    const Command update = machine.world.commands.all_with("update").at(0);
    for (const std::string word : {"--option=Dir::Etc::SourceList=/run/agent/apt/gcsfuse.sources",
                                   "--option=Dir::Etc::SourceParts=/dev/null",
                                   "--option=APT::Get::List-Cleanup=0"})
        CHECK(FakeCommands::has_word(update, word));
    CHECK(machine.why_due(step).empty());

    machine.world.commands.ran.clear();
    REQUIRE(machine.world.apply(step).has_value());
    CHECK(machine.world.commands.ran.empty());
}

TEST_CASE("apt_repositories: one that is not what it should be never becomes the machine's",
          "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"update"})
        .exits(100,
               "",
               "W: GPG error: https://packages.example.com/apt gcsfuse-bookworm InRelease: The "
               "following signatures couldn't be verified because the public key is not available: "
               "NO_PUBKEY C0BA5CE6DC6315A3\n"
               "E: The repository 'https://packages.example.com/apt gcsfuse-bookworm InRelease' is "
               "not signed.\n");
    const auto applied = machine.world.apply(machine.wants({gcsfuse()}));
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(applied.error().message,
               ContainsSubstring("repository gcsfuse: it is signed by another key than its own") &&
                   ContainsSubstring("NO_PUBKEY C0BA5CE6DC6315A3"));
    CHECK_THAT(applied.error().next, ContainsSubstring("`key`"));
    CHECK_FALSE(machine.world.has(sources));
    CHECK_FALSE(machine.world.has(keyring));
}

TEST_CASE("apt_repositories: a wrong new key leaves the repository that worked as it was",
          "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.wants({gcsfuse()})).has_value());
    auto other = gcsfuse();
    other.key = "-----BEGIN PGP PUBLIC KEY BLOCK----- of another";
    auto& step = machine.wants({other});
    CHECK_FALSE(machine.why_due(step).empty());
    machine.world.commands.when({"update"})
        .exits(0, "", "W: An error occurred during the signature verification.\n");
    CHECK(machine.world.apply(step).has_error());
    CHECK(machine.world.content(keyring) == std::string{armoured} + "\n");
    CHECK(machine.world.content(sources) == text);
}

TEST_CASE("apt_repositories: what is ours and no longer asked for goes, what is not ours stays",
          "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.wants({gcsfuse()})).has_value());
    auto& none = machine.wants({});
    CHECK(machine.why_due(none) == "no longer asked for: gcsfuse");
    REQUIRE(machine.world.apply(none).has_value());
    CHECK_FALSE(machine.world.has(sources));
    CHECK_FALSE(machine.world.has(keyring));
    CHECK(machine.world.has("/etc/apt/sources.list.d/debian.sources"));
    CHECK(machine.why_due(none).empty());
}

TEST_CASE("apt_repositories: a file of that name that is not ours is told and not touched",
          "[unit][steps]") {
    Machine machine;
    machine.world.put(sources, "Types: deb\nURIs: https://other.example.com\n");
    auto& step = machine.wants({gcsfuse()});
    const auto checked = machine.world.check(step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(checked.error().message, ContainsSubstring(sources));
    CHECK(machine.world.apply(step).has_error());
    CHECK(machine.world.content(sources) == "Types: deb\nURIs: https://other.example.com\n");
}

TEST_CASE("apt_repositories: a keyring of the machine is named where it lies", "[unit][steps]") {
    Machine machine;
    auto repository = gcsfuse();
    repository.key.clear();
    repository.keyring = "/usr/share/keyrings/company.gpg";
    auto& step = machine.wants({repository});
    const auto checked = machine.world.check(step);
    REQUIRE(checked.has_error());
    CHECK_THAT(checked.error().message, ContainsSubstring("/usr/share/keyrings/company.gpg"));
    machine.world.put("/usr/share/keyrings/company.gpg", "binary");
    REQUIRE(machine.world.apply(step).has_value());
    CHECK_THAT(machine.world.content(sources),
               ContainsSubstring("\nSigned-By: /usr/share/keyrings/company.gpg\n"));
    CHECK_FALSE(machine.world.has(keyring));
}

TEST_CASE("apt_repositories: a flat repository has no components", "[unit][steps]") {
    Machine machine;
    auto repository = gcsfuse();
    repository.suite = "./";
    repository.components.clear();
    REQUIRE(machine.world.apply(machine.wants({repository})).has_value());
    CHECK_THAT(machine.world.content(sources),
               ContainsSubstring("\nSuites: ./\nSigned-By: ") && !ContainsSubstring("Components"));
}

TEST_CASE("apt_repositories: a system that has no codename says so", "[unit][steps]") {
    Machine machine;
    machine.world.put("/etc/os-release", "NAME=Debian\n");
    const auto checked = machine.world.check(machine.wants({gcsfuse()}));
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(checked.error().message, ContainsSubstring("VERSION_CODENAME"));
}

TEST_CASE("apt_repositories: what apt-get said becomes a kind and a next step", "[unit][steps]") {
    struct Row {
        int code;
        std::string said;
        ErrorKind kind;
        std::string message;
        std::string next;
    };
    const auto row = GENERATE(
        Row{100,
            "E: The repository 'http://x/apt nosuch Release' does not have a Release file.\n",
            ErrorKind::misconfigured,
            "there is no such suite",
            "`suite`"},
        Row{0,
            "W: Skipping acquire of configured file 'x/binary-amd64/Packages' as repository "
            "'http://x/apt bookworm InRelease' doesn't have the component 'x' (component "
            "misspelt in sources.list?)\n",
            ErrorKind::misconfigured,
            "no such component",
            "`components`"},
        Row{0,
            "W: Failed to fetch http://x/apt/dists/bookworm/InRelease  Could not resolve 'x'\n"
            "W: Some index files failed to download. They have been ignored, or old ones used "
            "instead.\n",
            ErrorKind::transient,
            "Could not resolve 'x'",
            "DNS"},
        Row{100,
            "E: The repository 'http://x/apt bookworm Release' is not signed.\n",
            ErrorKind::permanent,
            "it is not signed",
            "`key`"},
        Row{100,
            "E: Release file for http://x/apt/InRelease is not valid yet (invalid for another "
            "3h).\n",
            ErrorKind::transient,
            "of the future",
            "clock"},
        Row{0,
            "W: Failed to fetch https://x/apt/InRelease  Certificate verification failed: The "
            "certificate is NOT trusted.\n",
            ErrorKind::permanent,
            "certificate is not trusted",
            "ca_certificates"},
        Row{100,
            "E: Conflicting values set for option Signed-By regarding source http://x/apt/ "
            "bookworm: /a != /b\nE: The list of sources could not be read.\n",
            ErrorKind::misconfigured,
            "has this repository already",
            "/etc/apt"},
        Row{0,
            "W: An error occurred during the signature verification. The repository is not updated "
            "and the previous index files will be used. GPG error: http://x/apt InRelease: The "
            "following signatures couldn't be verified: NO_PUBKEY 3D0C2034F2A3A1B5\n",
            ErrorKind::misconfigured,
            "another key than its own: GPG error: http://x/apt",
            "`key`"},
        Row{127, "", ErrorKind::permanent, "apt-get exited with status 127", ""});
    const auto problem = repository_problem(update_ended(row.code, row.said), "mine");
    REQUIRE(problem.has_value());
    CHECK(problem->kind == row.kind);
    CHECK_THAT(problem->message,
               ContainsSubstring("repository mine: ") && ContainsSubstring(row.message));
    CHECK_THAT(problem->next, ContainsSubstring(row.next));
}

TEST_CASE("apt_repositories: a word of apt's that is no complaint about it is none",
          "[unit][steps]") {
    CHECK_FALSE(repository_problem(update_ended(0, ""), "mine"));
    CHECK_FALSE(repository_problem(
        update_ended(0, "W: Target Packages is configured multiple times in x:1 and y:1\n"),
        "mine"));
}
