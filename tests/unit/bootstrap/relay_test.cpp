#include "agent/ports/layout.hpp"
#include "agent/report/status_file.hpp"
#include "bootstrap/relay.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/support/lock_holder.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/step_status.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Lines = std::vector<std::string>;

namespace {

// A machine whose daemon lives and says what the test writes.
class Machine {
public:
    Machine() { std::filesystem::create_directories(directory_.root() / "/run/agent"); }
    void says(const Status& status) {
        StatusFile file{directory_.root()};
        REQUIRE(file.write(status).has_value());
    }
    int relay(std::chrono::milliseconds longest = 10s) {
        boost::asio::io_context io;
        return run_coroutine(
            io,
            relay_until_settled(directory_.root(), clock, longest, [this](std::string_view line) {
                lines.emplace_back(line);
            }));
    }
    [[nodiscard]] std::filesystem::path lock() const {
        return directory_.root() / layout::lock_file;
    }

    FakeClock clock;
    Lines lines;

private:
    TempRoot directory_;
};

} // namespace

TEST_CASE("relay: what a startup script says stands on the console already", "[unit][bootstrap]") {
    const auto [groups, expected] = GENERATE(table<std::string, bool>({
        {"0::/system.slice/google-startup-scripts.service\n", true},
        {"1:name=systemd:/system.slice/cloud-final.service\n0::/\n", true},
        {"0::/user.slice/user-1000.slice/session-3.scope\n", false},
        {"", false},
    }));
    const TempRoot directory;
    std::filesystem::create_directories(directory.root() / "/proc/self");
    std::ofstream{directory.root() / "/proc/self/cgroup"} << groups;
    CHECK(output_goes_to_console(directory.root()) == expected);
    CHECK_FALSE(output_goes_to_console(TempRoot{}.root()));
}

TEST_CASE("relay: the end is the exit status that `agent status` gives", "[unit][bootstrap]") {
    struct Row {
        MachineState state;
        int exit;
    };
    const auto row = GENERATE(
        Row{MachineState::ready, 0}, Row{MachineState::failed, 1}, Row{MachineState::degraded, 2});
    Machine machine;
    Status status = with({step("python", "applied")});
    status.state = row.state;
    status.summary = "this is how it stands";
    status.problem = Problem{"python", "permanent", "no", "free some space"};
    machine.says(status);
    const LockHolder daemon{machine.lock()};
    CHECK(machine.relay() == row.exit);
    CHECK(machine.lines ==
          Lines{"python: applied in 0.0 s", "this is how it stands", "next: free some space"});
}

TEST_CASE("relay: what has not settled in time is exit 3, with where to look",
          "[unit][bootstrap]") {
    Machine machine;
    Status status = with({step("python", "running")});
    status.state = MachineState::provisioning;
    machine.says(status);
    const LockHolder daemon{machine.lock()};
    const auto begin = machine.clock.now();
    CHECK(machine.relay(10s) == 3);
    CHECK(machine.clock.now() - begin <= 11s);
    REQUIRE(machine.lines.size() == 2);
    CHECK(machine.lines.front() == "python: running");
    CHECK_THAT(machine.lines.back(), ContainsSubstring("agent status"));
}

TEST_CASE("relay: what a dead daemon left is not believed", "[unit][bootstrap]") {
    Machine machine;
    Status status;
    status.state = MachineState::ready;
    machine.says(status);
    CHECK(machine.relay(2s) == 3);
    CHECK(machine.lines.size() == 1);
}
