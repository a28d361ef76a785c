#include "agent/ports/download.hpp"
#include "agent/steps/conda_prefix.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* marker = "/opt/.anaconda3.agent";
constexpr const char* work_mark = "/opt/.anaconda3.agent-python";
const std::string sha256(64, 'a');
const std::string installer = "/var/lib/agent/tools/installer-aaaaaaaaaaaaaaaa.sh";

const std::string whole =
    R"({"exists":true,"python":"3.7.4","packages":{},"has_conda":true,"conda":{"conda":"4.7.12"}})";

class Conda {
public:
    Conda() {
        Account& ada = world.accounts.add("ada");
        ada.uid = ada.uid == 0 ? 1234U : ada.uid; // nothing is fetched as root
        sees(R"({"exists":false})");
        DownloadOutcome came;
        came.size = 7;
        world.commands.when({"worker", "fetch"}).exits(0, write_line(came) + "\n");
        world.commands.when({"worker", "adopt"})
            .does([this](const Command&) { world.put(installer, "#!/bin/sh\n"); })
            .exits(0, write_line(came) + "\n");
        world.commands.when({"bash"}).exits(0, "PREFIX=/opt/anaconda3\nUnpacking payload ...\n");
        world.commands.when({"find"}).exits(0);
        world.commands.when({"sync"}).exits(0);
    }
    void sees(const std::string& answer) {
        world.commands.when({"worker", "environment"}).exits(0, answer);
    }
    [[nodiscard]] Command installation() const { return world.commands.all_with("bash").back(); }

    StepWorld world;
    CondaPrefix step{world.ports(),
                     {.user = "ada",
                      .prefix = "/opt/anaconda3",
                      .installer = "Anaconda 2019.10",
                      .url = "https://repo.example.com/Anaconda3.sh",
                      .sha256 = sha256,
                      .bytes = {},
                      .network = {}}};
};

} // namespace

TEST_CASE("conda prefix: it is there when its interpreter and its conda are", "[unit][steps]") {
    struct Row {
        std::string seen;
        std::string due; // empty: it is so
    };
    for (const auto& [seen, due] :
         {Row{whole, ""},
          Row{R"({"exists":true,"has_conda":false})", "the Python at /opt/anaconda3 has no conda"},
          Row{R"({"exists":false,"has_conda":true})", "no Python at /opt/anaconda3"}}) {
        Conda conda;
        conda.sees(seen);
        const auto checked = conda.world.check(conda.step).value();
        CHECK(checked.satisfied == due.empty());
        CHECK_THAT(checked.reason, ContainsSubstring(due.empty() ? "conda 4.7.12" : due));
    }
}

TEST_CASE("conda prefix: the verified bytes are run as the user, with nothing of his in the way",
          "[unit][steps]") {
    Conda conda;
    REQUIRE(conda.world.apply(conda.step).has_value());
    const auto fetching = conda.world.commands.all_with("fetch").back();
    REQUIRE(fetching.as.has_value());
    const DownloadOrder order = read_order(fetching.input).value();
    CHECK(order.url == "https://repo.example.com/Anaconda3.sh");
    CHECK(order.sha256 == sha256);
    const auto run = conda.installation();
    CHECK(FakeCommands::line(run) ==
          "/bin/bash " + (conda.world.root() / installer).string() + " -b -p /opt/anaconda3 -f");
    REQUIRE(run.as.has_value());
    CHECK(run.as->name == "ada");
    CHECK(run.environment.size() == 1);
    CHECK(run.environment.at("TMPDIR") == "/var/lib/agent/scratch/python");
    CHECK(run.deadline > std::chrono::minutes{10});
    CHECK(conda.world.commands.all_with("find").empty());
    CHECK_FALSE(conda.world.has(installer));
    CHECK_FALSE(conda.world.has(work_mark));
    CHECK_THAT(conda.world.content(marker), ContainsSubstring(sha256));
    CHECK(conda.world.mode("/opt/anaconda3") == 0755U);
}

TEST_CASE("conda prefix: what another installer made is told and left as it is", "[unit][steps]") {
    Conda conda;
    conda.sees(whole);
    conda.world.put(marker, "made by agent\n" + std::string(64, 'b') + "\n");
    const auto checked = conda.world.check(conda.step).value();
    CHECK(checked.satisfied);
    CHECK_THAT(checked.reason, ContainsSubstring("made by another installer"));
}

TEST_CASE("conda prefix: what somebody else has at the prefix is refused before a byte comes",
          "[unit][steps]") {
    Conda conda;
    SECTION("a directory with something in it") {
        conda.world.put("/opt/anaconda3/precious", "x");
    }
    SECTION("a venv of ours") {
        conda.world.put(marker, "made by agent\n");
        conda.sees(R"({"exists":true,"venv":true})");
    }
    const auto applied = conda.world.apply(conda.step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(applied.error().next, ContainsSubstring("[python] prefix"));
    CHECK(conda.world.commands.all_with("fetch").empty());
    CHECK(conda.world.commands.all_with("bash").empty());
}

TEST_CASE("conda prefix: half of ours is removed by its user and made again in place",
          "[unit][steps]") {
    Conda conda;
    conda.world.commands.when({"bash"}).is_killed(9);
    REQUIRE(conda.world.apply(conda.step).has_error());
    CHECK(conda.world.has(work_mark));
    CHECK(conda.world.has(installer));
    conda.world.put("/opt/anaconda3/bin/python", "half");
    conda.sees(whole);
    CHECK_FALSE(conda.world.check(conda.step).value().satisfied);

    conda.world.commands.when({"bash"}).exits(0);
    conda.world.context.last = "venv of an earlier prefix";
    REQUIRE(conda.world.apply(conda.step).has_value());
    const auto cleared = conda.world.commands.all_with("find").back();
    CHECK(FakeCommands::line(cleared) == "/usr/bin/find /opt/anaconda3 -xdev -mindepth 1 -delete");
    REQUIRE(cleared.as.has_value());
    CHECK(cleared.as->name == "ada");
    CHECK(conda.world.check(conda.step).value().satisfied);
}

TEST_CASE("conda prefix: one that was whole once keeps what the user put into it",
          "[unit][steps]") {
    Conda conda;
    SECTION("the marker says so") {
        conda.world.put(marker, "made by agent\n" + sha256 + "\n");
    }
    SECTION("the ledger says so") {
        conda.world.put(marker, "made by agent\n");
        conda.world.context.last = conda.step.fingerprint();
    }
    conda.world.put("/opt/anaconda3/lib/of the user", "x");
    REQUIRE(conda.world.apply(conda.step).has_value());
    CHECK(conda.world.commands.all_with("find").empty());
    CHECK(conda.installation().argv.back() == "-u");
}

TEST_CASE("conda prefix: a download that failed leaves nothing claimed to be at work",
          "[unit][steps]") {
    Conda conda;
    DownloadOutcome outcome;
    outcome.error = permanent("it is an HTML page");
    conda.world.commands.when({"worker", "fetch"}).exits(0, write_line(outcome) + "\n");
    const auto applied = conda.world.apply(conda.step);
    REQUIRE(applied.has_error());
    CHECK_THAT(applied.error().message, ContainsSubstring("fetching Anaconda 2019.10"));
    CHECK_FALSE(conda.world.has(work_mark));
    CHECK(conda.world.commands.all_with("bash").empty());
}

TEST_CASE("conda prefix: an installer's own words become the error", "[unit][steps]") {
    CommandOutcome outcome;
    outcome.argv = {"/bin/bash", "installer.sh"};
    outcome.status = Exited{1};
    SECTION("no room") {
        outcome.error_tail =
            "ERROR: Not enough free disk space. Only 12 MB are available, but 3000 "
            "MB are required (leaving a 50 MB buffer).\n";
        const Error error = constructor_error(outcome);
        CHECK(error.kind == ErrorKind::permanent);
        CHECK_THAT(error.message, ContainsSubstring("Only 12 MB are available"));
        CHECK_THAT(error.next, ContainsSubstring("disk"));
    }
    SECTION("advice behind it is left out") {
        outcome.error_tail = "ERROR: File or directory already exists: '/opt/x'\n"
                             "If you want to update an existing installation, use the -u option.\n";
        CHECK(constructor_error(outcome).message ==
              "bash exited with status 1: File or directory already exists: '/opt/x'");
    }
    SECTION("time is over") {
        outcome.status = TimedOut{};
        CHECK(constructor_error(outcome).kind == ErrorKind::transient);
    }
    SECTION("somebody killed it, who may have had a passing reason") {
        outcome.status = Signaled{9};
        CHECK(constructor_error(outcome).kind == ErrorKind::transient);
    }
}
