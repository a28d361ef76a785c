#include "agent/base/timestamp.hpp"
#include "agent/commands/status.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"
#include "tests/support/lock_holder.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr const char* boot = "6f2a3c1e-8a51-4f5d-9c53-0d8f3b1b2c4d";
constexpr WallTime now{1700000000s};

StepStatus step(std::string id, std::string state, double seconds, std::string reason) {
    StepStatus status;
    status.id = std::move(id);
    status.state = std::move(state);
    status.seconds = seconds;
    status.reason = std::move(reason);
    return status;
}

Status status_in(MachineState state) {
    Status status;
    status.state = state;
    status.boot_id = boot;
    status.since = now - 12min;
    return status;
}

StatusReading fresh(Status status) {
    StatusReading reading;
    reading.status = std::move(status);
    reading.stale = false;
    reading.daemon = 4242;
    return reading;
}

StatusReading stale(Status status) {
    StatusReading reading = fresh(std::move(status));
    reading.stale = true;
    reading.why = "the agent is not running";
    reading.daemon = 0;
    return reading;
}

Status ready_status() {
    Status status = status_in(MachineState::ready);
    status.url = "https://203.0.113.7:8888/";
    status.summary = "Jupyter is open, everything is in place";
    status.certificate_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    status.steps = {step("disk_space", "satisfied", 0, "31 GiB free"),
                    step("apt_packages", "applied", 42.04, "libgl1 was not installed"),
                    step("python_packages", "applied", 185.5, "pandas was not installed"),
                    step("ready", "satisfied", 0.26, "")};
    return status;
}

TEST_CASE("status: a ready machine in 80 columns", "[unit][commands]") {
    CHECK(render_status(fresh(ready_status()), now, {.colours = Colours::off}) ==
          "ready for 12 min: https://203.0.113.7:8888/\n"
          "certificate 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
          "\n"
          "STEP             STATE        TIME  REASON\n"
          "disk_space       satisfied          31 GiB free\n"
          "apt_packages     applied     42.0s  libgl1 was not installed\n"
          "python_packages  applied     3m05s  pandas was not installed\n"
          "ready            satisfied    0.3s\n");
}

TEST_CASE("status: what to type when the browser does not reach it comes last",
          "[unit][commands]") {
    MachineCard card;
    card.name = "vm-1";
    StatusView view;
    view.machine = card;
    const std::string text = render_status(fresh(ready_status()), now, view);
    CHECK(text == render_status(fresh(ready_status()), now, {}) +
                      "\nWithout a password the port is open on this machine alone. From yours,\n"
                      "and then https://localhost:8888/:\n"
                      "  gcloud compute ssh vm-1 --project=PROJECT --zone=ZONE -- \\\n"
                      "    -L 8888:localhost:8888\n");
    Status closed = ready_status();
    closed.url.clear();
    CHECK(render_status(fresh(closed), now, view) == render_status(fresh(closed), now, {}));
    CHECK(render_status(stale(ready_status()), now, view) ==
          render_status(stale(ready_status()), now, {}));
}

TEST_CASE("status: where there is little room, steps that are well are left out",
          "[unit][commands]") {
    Status status = status_in(MachineState::provisioning);
    status.summary = "provisioning: 3 of 6 steps done; image";
    status.steps = {step("one", "satisfied", 0, ""),
                    step("two", "applied", 1, ""),
                    step("three", "running", 0, "pulling"),
                    step("four", "failed", 1, ""),
                    step("five", "applied", 1, ""),
                    step("six", "pending", 0, "")};
    StatusView view;
    view.rows = 10;
    CHECK(render_status(fresh(status), now, view) == render_status(fresh(status), now, {}));
    view.rows = 9;
    CHECK(render_status(fresh(status), now, view) == "provisioning for 12 min\n"
                                                     "provisioning: 3 of 6 steps done; image\n"
                                                     "\n"
                                                     "STEP   STATE        TIME  REASON\n"
                                                     "(2 steps are well)\n"
                                                     "three  running            pulling\n"
                                                     "four   failed       1.0s\n"
                                                     "five   applied      1.0s\n"
                                                     "six    pending\n");
    view.rows = 3; // what is not well stays, whatever the room
    CHECK(render_status(fresh(status), now, view)
              .ends_with("(3 steps are well)\n"
                         "three  running            pulling\n"
                         "four   failed       1.0s\n"
                         "six    pending\n"));
}

TEST_CASE("status: a failed machine says what, why and what to do next", "[unit][commands]") {
    Status status = status_in(MachineState::failed);
    status.since = now - 3s;
    status.summary = "python_packages failed";
    status.problem = Problem{
        .step = "python_packages",
        .kind = "permanent",
        .message = "installing Python packages: uv exited with status 1: no version of pandas "
                   "satisfies pandas==9.9 because only the versions up to 2.2 are published",
        .next = "correct python.packages in /etc/agent/agent.toml"};
    StepStatus broken = step("python_packages", "failed", 4000, "pandas is not installed");
    broken.error = status.problem->message;
    status.steps = {broken, step("jupyter_unit", "blocked", 0, "python_packages failed")};
    CHECK(render_status(fresh(status), now, {.colours = Colours::off}) ==
          "failed for 3 s\n"
          "python_packages failed\n"
          "\n"
          "problem in python_packages:\n"
          "  installing Python packages: uv exited with status 1: no version of pandas\n"
          "  satisfies pandas==9.9 because only the versions up to 2.2 are published\n"
          "  next: correct python.packages in /etc/agent/agent.toml\n"
          "\n"
          "STEP             STATE        TIME  REASON\n"
          "python_packages  failed      1h06m  installing Python packages: uv exited wit...\n"
          "jupyter_unit     blocked            python_packages failed\n");
}

TEST_CASE("status: what runs is timed from its start", "[unit][commands]") {
    Status status = status_in(MachineState::provisioning);
    status.since = now - 3h - 5min;
    StepStatus running = step("python", "running", 0, "making the environment");
    running.started = now - 61s;
    status.steps = {running, step("ready", "pending", 0, "")};
    CHECK(render_status(fresh(status), now, {.colours = Colours::off}) ==
          "provisioning for 3 h 5 min\n"
          "\n"
          "STEP    STATE        TIME  REASON\n"
          "python  running     1m01s  making the environment\n"
          "ready   pending\n");
}

TEST_CASE("status: nothing seems older than the boot or yet to come, where the clock was set since",
          "[unit][commands]") {
    Status status = status_in(MachineState::provisioning);
    StepStatus running = step("python", "running", 0, "making the environment");
    const auto moved = GENERATE(as<std::chrono::hours>{}, -24h * 4000, 24h * 365);
    status.since = now + moved;
    running.started = now + moved;
    status.steps = {running};
    const auto seen = within_boot(fresh(status), now, 5min);
    CHECK(seen.status->since == (moved < 0h ? now - 5min : now));
    CHECK(seen.status->steps.front().started == seen.status->since);
    CHECK(within_boot(stale(status), now, 5min).status->since == now + moved);
    CHECK(within_boot(fresh(status_in(MachineState::ready)), now, 1h).status->since == now - 12min);
    CHECK_FALSE(within_boot(StatusReading{}, now, 5min).status.has_value());
}

TEST_CASE("status: a ready left by a dead daemon is shown as stale, without its url",
          "[unit][commands]") {
    Status status = ready_status();
    status.steps.clear();
    CHECK(render_status(stale(status), now, {.colours = Colours::off}) ==
          "stale: the agent is not running; see `systemctl status agent`\n"
          "last known state: ready, since 2023-11-14T22:01:20Z\n");
}

TEST_CASE("status: without a status there is one sentence", "[unit][commands]") {
    StatusReading reading;
    reading.why = "the agent is not running and has left no status";
    CHECK(render_status(reading, now, {.colours = Colours::off}) ==
          "the agent is not running and has left no status; see `systemctl status agent`\n");
}

TEST_CASE("status: no line but one with an unbreakable word exceeds 80 columns",
          "[unit][commands]") {
    Status status = ready_status();
    status.state = MachineState::provisioning; // which shows its summary
    status.summary = "Ein Jupyter läuft, 環境 ist da und jeder Schritt hat seine Zeit gebraucht, "
                     "auch wenn es lange gedauert hat";
    status.steps.push_back(
        step("repository:" + std::string(60, 'x'), "satisfied", 1e9, std::string(300, 'y')));
    const std::string text = render_status(fresh(status), now, {.colours = Colours::off});
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        const auto is_first_byte = [](char c) {
            return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
        };
        CHECK(std::count_if(line.begin(), line.end(), is_first_byte) <= 80);
    }
}

TEST_CASE("status: nothing in the file can speak to the terminal", "[unit][commands]") {
    Status status = ready_status();
    status.state = MachineState::provisioning; // which shows its summary
    status.summary = "\033[2Jcleared";
    status.url = "https://x/\033]0;title\007";
    status.steps.push_back(step("a\nb", "sta\tte", 0, "\r\033[1A"));
    const std::string text = render_status(fresh(status), now, {.colours = Colours::off});
    CHECK(text.find('\033') == std::string::npos);
    CHECK(text.find('\007') == std::string::npos);
    CHECK(text.find('\r') == std::string::npos);
}

TEST_CASE("status: colours only mark the states", "[unit][commands]") {
    Status status = status_in(MachineState::degraded);
    status.steps = {step("python", "failed", 0, "no space")};
    CHECK(render_status(fresh(status), now, {.colours = Colours::on}) ==
          "\033[1;33mdegraded\033[0m for 12 min\n"
          "\n"
          "STEP    STATE        TIME  REASON\n"
          "python  \033[1;31mfailed   \033[0m          no space\n");
}

TEST_CASE("status: the exit status", "[unit][commands]") {
    const auto [state, expected] = GENERATE(table<MachineState, int>({
        {MachineState::ready, 0},
        {MachineState::failed, 1},
        {MachineState::degraded, 2},
        {MachineState::starting, 3},
        {MachineState::provisioning, 3},
        {MachineState::stopping, 3},
    }));
    CHECK(exit_status(fresh(status_in(state))) == expected);
    CHECK(exit_status(stale(status_in(state))) == 1);
    CHECK(exit_status(StatusReading{}) == 1);
}

class Machine {
public:
    Machine() {
        std::filesystem::create_directories(root() / "/run/agent");
        std::filesystem::create_directories(root() / "/proc/sys/kernel/random");
        std::ofstream{root() / "/proc/sys/kernel/random/boot_id"} << boot << '\n';
    }
    [[nodiscard]] Root root() const { return directory_.root(); }
    [[nodiscard]] std::filesystem::path lock() const { return root() / layout::lock_file; }
    void write(const Status& status) const {
        StatusFile file{root()};
        REQUIRE(file.write(status).has_value());
    }
    std::pair<int, std::string> status(const StatusOptions& options) const {
        std::ostringstream out;
        const int code = status_command(options, root(), out);
        return {code, out.str()};
    }

private:
    test::TempRoot directory_;
};

TEST_CASE("status: JSON is the status itself while its daemon lives", "[unit][commands]") {
    const Machine machine;
    machine.write(ready_status());
    const test::LockHolder daemon{machine.lock()};
    const auto [code, text] = machine.status({.json = true});
    CHECK(code == 0);
    CHECK(text == write_json(to_value(ready_status())) + "\n");
}

TEST_CASE("status: JSON never gives a stale machine out as ready", "[unit][commands]") {
    const Machine machine;
    const bool written = GENERATE(true, false);
    if (written)
        machine.write(ready_status());
    const auto [code, text] = machine.status({.json = true});
    CHECK(code == 1);
    const auto value = parse_json(text);
    REQUIRE(value.has_value());
    const auto status = status_from(*value);
    REQUIRE(status.has_value());
    CHECK(status->state == MachineState::failed);
    CHECK(status->url.empty());
    REQUIRE(status->problem);
    CHECK(status->problem->message.starts_with("the agent is not running"));
    CHECK(status->problem->next == "see `systemctl status agent`");
    CHECK(status->steps.size() == (written ? 4 : 0));
}

TEST_CASE("status: --wait returns at once from a settled machine", "[unit][commands]") {
    const Machine machine;
    machine.write(status_in(MachineState::degraded));
    const test::LockHolder daemon{machine.lock()};
    const auto [code, text] = machine.status({.wait = true});
    CHECK(code == 2);
    CHECK(text.starts_with("degraded for "));
}

TEST_CASE("status: --wait that ran out of time says so and exits 3", "[unit][commands]") {
    const Machine machine;
    machine.write(status_in(MachineState::provisioning));
    const test::LockHolder daemon{machine.lock()};
    const auto [code, text] = machine.status({.wait = true, .timeout = 0ms});
    CHECK(code == 3);
    CHECK(text.starts_with("provisioning for "));
    CHECK(text.ends_with("\nnot settled within 0 s\n"));
}

TEST_CASE("status: --wait sees the machine settle, a dead daemon and its own deadline",
          "[unit][commands]") {
    using enum SettleWatch::Verdict;
    const StatusReading busy = fresh(status_in(MachineState::provisioning));
    const StatusReading done = fresh(status_in(MachineState::ready));
    const StatusReading dead = stale(status_in(MachineState::ready));
    const Monotonic start{1h};
    SettleWatch patient{start, std::nullopt};
    SettleWatch hasty{start, 90s};

    SECTION("it settles") {
        CHECK(patient.observe(busy, start) == wait);
        CHECK(patient.observe(busy, start + 3h) == wait);
        CHECK(patient.observe(done, start + 3h + 1s) == settled);
    }
    SECTION("failed is settled too") {
        CHECK(patient.observe(fresh(status_in(MachineState::failed)), start) == settled);
    }
    SECTION("the time runs out") {
        CHECK(hasty.observe(busy, start + 89s) == wait);
        CHECK(hasty.observe(busy, start + 90s) == late);
        CHECK(hasty.observe(done, start + 91s) == settled);
    }
    SECTION("a daemon that restarts is waited for, a dead one is not") {
        CHECK(patient.observe(dead, start) == wait);
        CHECK(patient.observe(dead, start + 9s) == wait);
        CHECK(patient.observe(busy, start + 10s) == wait);
        CHECK(patient.observe(dead, start + 11s) == wait);
        CHECK(patient.observe(dead, start + 20s) == wait);
        CHECK(patient.observe(dead, start + 21s) == gone);
    }
    SECTION("a status that never appears") {
        CHECK(patient.observe(StatusReading{}, start) == wait);
        CHECK(patient.observe(StatusReading{}, start + 10s) == gone);
    }
}

} // namespace
} // namespace agent
