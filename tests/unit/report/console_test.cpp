#include "agent/ports/layout.hpp"
#include "agent/report/console.hpp"
#include "tests/support/step_status.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using Lines = std::vector<std::string>;

namespace {

Status settled(MachineState state, std::string summary, std::string url) {
    Status status;
    status.state = state;
    status.summary = std::move(summary);
    status.url = std::move(url);
    return status;
}

class Machine {
public:
    Machine() { std::filesystem::create_directories(root() / "/dev"); }
    [[nodiscard]] Root root() const { return directory_.root(); }
    [[nodiscard]] std::filesystem::path path() const { return root() / layout::console; }
    [[nodiscard]] std::string shown() const {
        std::ifstream file{path()};
        return {std::istreambuf_iterator<char>{file}, {}};
    }

private:
    TempRoot directory_;
};

} // namespace

TEST_CASE("console: one line a step that did something, then how the machine stands",
          "[unit][report]") {
    ConsoleNews news;
    Status status = with({step("service_user", "satisfied"), step("python", "running")});
    status.state = MachineState::provisioning;
    status.summary = "provisioning: 1 of 2 steps done; python";
    CHECK(news.lines(status).empty());
    status.steps[1] = step("python", "applied", "Python 3.11.2");
    CHECK(news.lines(status) == Lines{"agent: python: applied in 0.0 s (Python 3.11.2)"});
    status.state = MachineState::ready;
    status.url = "https://203.0.113.7:8888/";
    status.summary = "ready at " + status.url;
    CHECK(news.lines(status) == Lines{"agent: ready at https://203.0.113.7:8888/"});
    CHECK(news.lines(status).empty());
}

TEST_CASE("console: a boot with nothing to do is one line", "[unit][report]") {
    ConsoleNews news;
    Status status = with({step("python", "running"), step("ready", "pending")});
    status.state = MachineState::provisioning;
    CHECK(news.lines(status).empty());
    status.steps = {step("python", "satisfied"), step("ready", "satisfied")};
    status.state = MachineState::ready;
    status.summary = "ready at https://203.0.113.7:8888/";
    CHECK(news.lines(status) == Lines{"agent: ready at https://203.0.113.7:8888/"});
}

TEST_CASE("console: another convergence has a last line of its own", "[unit][report]") {
    ConsoleNews news;
    const Status ready = settled(MachineState::ready, "ready at https://x/", "https://x/");
    CHECK(news.lines(ready).size() == 1);
    CHECK(news.lines(settled(MachineState::provisioning, "provisioning", "")).empty());
    CHECK(news.lines(ready).size() == 1);
}

TEST_CASE("console: what is usable but wrong says where as well", "[unit][report]") {
    ConsoleNews news;
    CHECK(news.lines(settled(MachineState::degraded, "degraded: bucket:b: no", "https://x/")) ==
          Lines{"agent: degraded: bucket:b: no (https://x/)"});
}

TEST_CASE("console: no line is longer than 120 characters or more than printable ASCII",
          "[unit][report]") {
    ConsoleNews news;
    Status status = with({step("python", "failed", "", std::string(500, 'x')),
                          step("front", "failed", "", "\033[2J пароль\nsecond")});
    status.state = MachineState::failed;
    status.summary = "failed: python: " + std::string(500, 'x');
    status.url = "https://203.0.113.7:8888/";
    const auto lines = news.lines(status);
    REQUIRE(lines.size() == 3);
    for (const auto& line : lines) {
        CHECK(line.size() <= 120);
        CHECK(std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c < 0x7F; }));
    }
    CHECK(lines[0].ends_with("..."));
    CHECK(lines[1] == "agent: front: failed: ?[2J ?????? second");
    CHECK(lines[2].ends_with("... (https://203.0.113.7:8888/)"));
}

TEST_CASE("console: lines go to the console as they come", "[unit][report]") {
    const Machine machine;
    std::ofstream{machine.path()};
    Console console{machine.root()};
    console.tell(with({step("python", "applied")}));
    console.tell(settled(MachineState::ready, "ready at https://x/", "https://x/"));
    CHECK(machine.shown() == "agent: python: applied in 0.0 s\nagent: ready at https://x/\n");
}

TEST_CASE("console: one that is missing or full stops nothing", "[unit][report]") {
    const Machine machine;
    Console console{machine.root()};
    console.tell(settled(MachineState::ready, "ready", ""));

    REQUIRE(::mkfifo(machine.path().c_str(), 0600) == 0);
    console.tell(settled(MachineState::failed, "failed", "")); // a FIFO that nobody reads
    const UniqueFd reader{::open(machine.path().c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
    const UniqueFd writer{::open(machine.path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)};
    const std::string filling(4096, 'x');
    while (::write(writer.get(), filling.data(), filling.size()) > 0)
        continue;
    console.tell(settled(MachineState::ready, "ready", ""));
    std::array<char, 4096> some{};
    REQUIRE(::read(reader.get(), some.data(), some.size()) > 0);
    console.tell(settled(MachineState::failed, "failed: again", ""));
    std::string all;
    for (ssize_t count = 0; (count = ::read(reader.get(), some.data(), some.size())) > 0;)
        all.append(some.data(), static_cast<std::size_t>(count));
    CHECK(all.ends_with("xagent: failed: again\n"));
}

TEST_CASE("console: one that was hung up is opened anew", "[unit][report]") {
    const Machine machine;
    UniqueFd master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    REQUIRE(::grantpt(master.get()) == 0);
    REQUIRE(::unlockpt(master.get()) == 0);
    std::array<char, 64> name{};
    REQUIRE(::ptsname_r(master.get(), name.data(), name.size()) == 0);
    std::filesystem::create_symlink(name.data(), machine.path());
    Console console{machine.root()};
    console.tell(settled(MachineState::ready, "ready", ""));
    std::array<char, 64> read{};
    const ssize_t count = ::read(master.get(), read.data(), read.size());
    CHECK(std::string(read.data(), static_cast<std::size_t>(count)) == "agent: ready\r\n");

    master = UniqueFd{};
    std::filesystem::remove(machine.path());
    std::ofstream{machine.path()};
    console.tell(settled(MachineState::failed, "failed", ""));
    CHECK(machine.shown() == "agent: failed\n");
}
