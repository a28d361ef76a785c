#include "agent/host/memory_witness.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

using namespace agent;
using namespace agent::test;

namespace {

constexpr std::string_view events = "/sys/fs/cgroup/system.slice/agent.service/memory.events";

class Machine {
public:
    void put(std::string_view path, std::string_view content) {
        const auto place = directory_.root() / path;
        std::filesystem::create_directories(place.parent_path());
        std::ofstream{place} << content;
    }
    void count(unsigned kills) {
        put(events,
            "low 0\nhigh 0\nmax 7\noom 3\noom_kill " + std::to_string(kills) +
                "\noom_group_kill 9\n");
    }
    std::optional<unsigned> seen_by_one_command() {
        MemoryWitness witness{commands, directory_.root()};
        Command command;
        command.argv = {"/usr/bin/pip"};
        boost::asio::io_context io{1};
        const auto outcome = run_coroutine(io, witness.run(std::move(command)));
        return outcome.value().killed_for_memory;
    }

    FakeCommands commands;

private:
    TempRoot directory_{TempRoot::in_memory()};
};

} // namespace

TEST_CASE("memory witness: kills of our group during a command are counted, earlier ones are not",
          "[unit][host]") {
    Machine machine;
    machine.put("/proc/self/cgroup", "0::/system.slice/agent.service\n");
    machine.count(4);
    machine.commands.when({"pip"}).is_killed(SIGKILL).does(
        [&](const Command&) { machine.count(5); });
    CHECK(machine.seen_by_one_command() == 1U);
    machine.commands.when({"pip"}).exits(1);
    CHECK(machine.seen_by_one_command() == 0U);
}

TEST_CASE("memory witness: of a success nothing is told", "[unit][host]") {
    Machine machine;
    machine.put("/proc/self/cgroup", "0::/system.slice/agent.service\n");
    machine.count(0);
    machine.commands.when({"pip"}).exits(0).does([&](const Command&) { machine.count(1); });
    CHECK_FALSE(machine.seen_by_one_command().has_value());
}

TEST_CASE("memory witness: where the kernel keeps no count, nothing is claimed", "[unit][host]") {
    Machine machine;
    machine.commands.when({"pip"}).is_killed(SIGKILL);
    SECTION("no cgroups at all") {}
    SECTION("cgroup v1") {
        machine.put("/proc/self/cgroup", "9:memory:/system.slice/agent.service\n");
    }
    SECTION("a v2 hierarchy without the memory controller") {
        machine.put("/proc/self/cgroup", "9:memory:/x\n0::/system.slice/agent.service\n");
    }
    SECTION("the topmost group") {
        machine.put("/proc/self/cgroup", "0::/\n");
        machine.put("/sys/fs/cgroup/memory.events", "oom_kill 1\n");
    }
    SECTION("another namespace's group") {
        machine.put("/proc/self/cgroup", "0::/../agent.service\n");
        machine.put("/sys/fs/cgroup/../agent.service/memory.events", "oom_kill 1\n");
    }
    SECTION("something else in the file") {
        machine.put("/proc/self/cgroup", "0::/system.slice/agent.service\n");
        machine.put(events, "oom_kill many\n");
    }
    CHECK_FALSE(machine.seen_by_one_command().has_value());
}

TEST_CASE("memory witness: a command that could not be started stays that error", "[unit][host]") {
    Machine machine;
    machine.put("/proc/self/cgroup", "0::/system.slice/agent.service\n");
    machine.count(0);
    machine.commands.when({"pip"}).refuses(permanent("no such program"));
    MemoryWitness witness{machine.commands, Root{"/nonexistent"}};
    Command command;
    command.argv = {"/usr/bin/pip"};
    boost::asio::io_context io{1};
    CHECK(run_coroutine(io, witness.run(std::move(command))).error().message == "no such program");
}
