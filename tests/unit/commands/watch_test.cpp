#include "agent/base/unique_fd.hpp"
#include "agent/commands/watch.hpp"
#include "agent/ports/layout.hpp"
#include "tests/support/lock_holder.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Lines = std::vector<std::string>;

namespace {

constexpr const char* boot = "6f2a3c1e-8a51-4f5d-9c53-0d8f3b1b2c4d";
constexpr std::chrono::system_clock::time_point now{1700000000s}; // 22:13:20

StepStatus step(std::string id, std::string state, double seconds = 0) {
    StepStatus status;
    status.id = std::move(id);
    status.state = std::move(state);
    status.seconds = seconds;
    return status;
}

Status status_in(MachineState state, std::vector<StepStatus> steps) {
    Status status;
    status.state = state;
    status.boot_id = boot;
    status.since = now;
    status.steps = std::move(steps);
    return status;
}

Status ready_status() {
    Status status = status_in(MachineState::ready, {step("apt_packages", "applied", 11.4)});
    status.url = "https://203.0.113.7:8888/";
    status.summary = "ready at " + status.url;
    return status;
}

StatusReading fresh(Status status) {
    StatusReading reading;
    reading.status = std::move(status);
    reading.stale = false;
    return reading;
}

class Machine {
public:
    Machine() {
        std::filesystem::create_directories(root() / layout::runtime_directory);
        std::filesystem::create_directories(root() / "/proc/sys/kernel/random");
        std::ofstream{root() / "/proc/sys/kernel/random/boot_id"} << boot << '\n';
    }
    [[nodiscard]] Root root() const { return directory_.root(); }
    [[nodiscard]] std::filesystem::path lock() const { return root() / layout::lock_file; }
    void write(const Status& status) const {
        StatusFile file{root()};
        REQUIRE(file.write(status).has_value());
    }

private:
    TempRoot directory_;
};

std::string content_of(int fd) {
    std::string text;
    std::array<char, 4096> some{};
    for (ssize_t count = 0; (count = ::read(fd, some.data(), some.size())) > 0;)
        text.append(some.data(), static_cast<std::size_t>(count));
    return text;
}

} // namespace

TEST_CASE("watch: without a terminal each change is a line with its time", "[unit][commands]") {
    PlainWatch watch;
    CHECK(watch.lines(fresh(status_in(MachineState::provisioning,
                                      {step("apt_packages", "running"), step("ready", "pending")})),
                      now) == Lines{"22:13:20 provisioning", "22:13:20 apt_packages: running"});
    CHECK(watch
              .lines(fresh(status_in(MachineState::provisioning,
                                     {step("apt_packages", "running"), step("ready", "pending")})),
                     now + 1s)
              .empty());
    CHECK(watch.lines(fresh(ready_status()), now + 11s) ==
          Lines{"22:13:31 apt_packages: applied in 11.4 s",
                "22:13:31 ready at https://203.0.113.7:8888/"});
    StatusReading dead = fresh(ready_status());
    dead.stale = true;
    dead.why = "the agent is not running";
    CHECK(watch.lines(dead, now + 70s) == Lines{"22:14:30 stale: the agent is not running"});
    CHECK(watch.lines(dead, now + 71s).empty());
    CHECK(watch.lines(fresh(ready_status()), now + 72s) ==
          Lines{"22:14:32 ready at https://203.0.113.7:8888/"});
}

TEST_CASE("watch: until settled it ends with the exit status of `agent status`",
          "[unit][commands]") {
    const Machine machine;
    machine.write(ready_status());
    const LockHolder daemon{machine.lock()};
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const UniqueFd reading{ends[0]};
    {
        const UniqueFd writing{ends[1]};
        CHECK(watch_command({WatchOptions::Until::settled}, machine.root(), writing.get()) == 0);
    }
    const std::string text = content_of(reading.get());
    CHECK_THAT(text, ContainsSubstring(" apt_packages: applied in 11.4 s\n"));
    CHECK(text.ends_with(" ready at https://203.0.113.7:8888/\n"));
}

TEST_CASE("watch: what does not settle in time is exit 3", "[unit][commands]") {
    const Machine machine;
    machine.write(status_in(MachineState::provisioning, {}));
    const LockHolder daemon{machine.lock()};
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const UniqueFd reading{ends[0]};
    {
        const UniqueFd writing{ends[1]};
        CHECK(watch_command({WatchOptions::Until::settled, 0ms}, machine.root(), writing.get()) ==
              3);
    }
    CHECK_THAT(content_of(reading.get()), ContainsSubstring("not settled within 0 s\n"));
}

TEST_CASE("watch: a pipe that nobody reads any more ends it", "[unit][commands]") {
    const Machine machine;
    machine.write(status_in(MachineState::provisioning, {}));
    const LockHolder daemon{machine.lock()};
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    ::close(ends[0]);
    const UniqueFd writing{ends[1]};
    const auto before = ::signal(SIGPIPE, SIG_IGN);
    CHECK(watch_command({}, machine.root(), writing.get()) == 1);
    ::signal(SIGPIPE, before);
}

TEST_CASE("watch: on a terminal what has settled is what `agent status` prints",
          "[unit][commands]") {
    const Machine machine;
    machine.write(ready_status());
    const LockHolder daemon{machine.lock()};
    const UniqueFd master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)};
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    std::array<char, 64> name{};
    REQUIRE(::ptsname_r(master.get(), name.data(), name.size()) == 0);
    const UniqueFd terminal{::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
    CHECK(watch_command({WatchOptions::Until::settled}, machine.root(), terminal.get()) == 0);
    const std::string shown = content_of(master.get());
    CHECK_THAT(shown, ContainsSubstring("apt_packages  applied     11.4s"));
    CHECK_THAT(shown, !ContainsSubstring("\033[?25l")); // nothing was to be waited for
}
