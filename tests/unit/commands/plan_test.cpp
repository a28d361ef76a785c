#include "agent/commands/plan.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/status_file.hpp"
#include "tests/fakes/fake_accounts.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/fakes/fake_front_control.hpp"
#include "tests/fakes/fake_metadata.hpp"
#include "tests/fakes/fake_services.hpp"
#include "tests/support/lock_holder.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Will = Outlook::Will;

namespace {

class Planned {
public:
    Planned() {
        for (const char* directory : {"etc/agent", "run/agent"})
            std::filesystem::create_directories(root_.path() / directory);
        accounts.add("jupyter").uid = 1000;
        commands.when({"dpkg-query"}).exits(1);
        commands.when({"stat"}).exits(0, "1000 directory\n");
    }
    void put(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories((root() / path).parent_path());
        std::ofstream{root() / path} << text;
    }
    int plan(bool json = false) {
        boost::asio::io_context io;
        PlanOptions options;
        options.json = json;
        return run_coroutine(
            io,
            plan_command(options,
                         {io, root(), commands, accounts, services, clock, metadata, front_control},
                         out,
                         err));
    }
    [[nodiscard]] Root root() const { return root_.root(); }
    // Everything there is: a file made, written, renamed or removed shows.
    [[nodiscard]] auto disk() const {
        std::map<std::string, std::pair<ino_t, std::int64_t>> files;
        for (const auto& entry : std::filesystem::recursive_directory_iterator{root_.path()}) {
            struct stat status{};
            REQUIRE(::lstat(entry.path().c_str(), &status) == 0);
            files[entry.path()] = {status.st_ino,
                                   status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
        }
        return files;
    }

    FakeClock clock;
    FakeCommands commands;
    FakeAccounts accounts;
    FakeServices services;
    FakeFrontControl front_control;
    FakeMetadata metadata;
    std::ostringstream out;
    std::ostringstream err;

private:
    TempRoot root_{TempRoot::in_memory()};
};

constexpr const char* small =
    "schema = 1\n[apt]\npackages = [\"git\"]\n[python]\nkind = \"none\"\n";

} // namespace

TEST_CASE("plan: what would be done and why, and nothing is changed by it", "[unit][commands]") {
    Planned planned;
    planned.put(layout::config_file, small);
    planned.put("/var/lib/agent/ledger/apt_packages.json", "{\"version\":");
    const auto before = planned.disk();
    CHECK(planned.plan() == 0);
    CHECK(planned.disk() == before);
    CHECK(planned.services.orders.empty());
    CHECK(planned.commands.all_with("apt-get").empty());
    CHECK_FALSE(planned.commands.all_with("dpkg-query").empty());
    const std::string text = planned.out.str();
    CHECK_THAT(text, ContainsSubstring("apt_packages.json cannot be used"));
    CHECK_THAT(text, ContainsSubstring("\nSTEP "));
    CHECK_THAT(text, ContainsSubstring("\napt_packages      run      not installed: git\n"));
    CHECK_THAT(text, ContainsSubstring("\nservice_user      nothing"));
    CHECK_THAT(text, ContainsSubstring(" steps: 2 to run, "));
    CHECK(planned.err.str().empty());
}

TEST_CASE("plan: without the metadata server the files are enough, and that is said",
          "[unit][commands]") {
    Planned planned;
    planned.put(layout::config_file, small);
    planned.metadata.facts = transient("the metadata server does not answer");
    CHECK(planned.plan(true) == 0);
    const auto answer = parse_json(planned.out.str()).value();
    CHECK(answer.integer_or("schema", 0) == 1);
    CHECK(answer.string_or("config_sha256", "").size() == 64);
    REQUIRE(answer.find("notes")->as_array()->size() == 1);
    CHECK(*answer.find("notes")->as_array()->front().as_string() ==
          "on the files alone: the metadata server does not answer");
    for (const auto& step : *answer.find("steps")->as_array())
        if (step.string_or("id", "") == "apt_packages") {
            CHECK(step.string_or("will", "") == "run");
            CHECK(step.string_or("why", "") == "not installed: git");
            CHECK(std::holds_alternative<std::nullptr_t>(step.find("after")->data));
        }
}

TEST_CASE("plan: a wrong configuration is no plan but its errors", "[unit][commands]") {
    Planned planned;
    planned.put(layout::config_file, "schema = 1\n[python]\nkind = \"nine\"\nfoo = 1\n");
    CHECK(planned.plan() == 1);
    CHECK(planned.out.str().empty());
    CHECK_THAT(planned.err.str(), ContainsSubstring("--> /etc/agent/agent.toml:3:8"));
    CHECK_THAT(planned.err.str(), ContainsSubstring("--> /etc/agent/agent.toml:4:1"));
    CHECK(planned.commands.ran.empty());
}

TEST_CASE("plan: a daemon at work is mentioned", "[unit][commands]") {
    Planned planned;
    planned.put(layout::config_file, small);
    planned.put("/proc/sys/kernel/random/boot_id", "0d9f\n");
    Status status;
    status.state = MachineState::provisioning;
    status.boot_id = current_boot_id(planned.root());
    status.since = planned.clock.wall();
    StepStatus running;
    running.id = "apt_packages";
    running.state = "running";
    status.steps = {running};
    StatusFile file{planned.root()};
    REQUIRE(file.write(status).has_value());
    const LockHolder daemon{planned.root() / layout::lock_file};
    CHECK(planned.plan() == 0);
    CHECK_THAT(planned.out.str(),
               ContainsSubstring("the agent is at work right now (apt_packages)"));
}

TEST_CASE("plan: the table keeps to 80 columns and counts", "[unit][commands]") {
    Prospect prospect;
    prospect.steps = {{"service_user", Will::nothing, "", ""},
                      {"apt_packages",
                       Will::run,
                       "",
                       "not installed: libgl1 libxrandr2 libegl1 libxss1 git wget"},
                      {"python_packages", Will::wait, "python", "there is no user jupyter"},
                      {"front", Will::fail, "", "\x1b[31mbroken"}};
    CHECK(render_plan(prospect) ==
          "STEP             WILL             WHY\n"
          "service_user     nothing\n"
          "apt_packages     run              not installed: libgl1 libxrandr2 libegl1\n"
          "                                  libxss1 git wget\n"
          "python_packages  wait for python  there is no user jupyter\n"
          "front            fail             ?[31mbroken\n"
          "\n"
          "4 steps: 1 to run, 1 waiting, 1 that will fail, 1 with nothing to do\n");
    prospect.steps = {{"service_user", Will::nothing, "", "it is there"}};
    CHECK_THAT(render_plan(prospect),
               ContainsSubstring("\nnothing to do: every step is as it should be\n"));
}
