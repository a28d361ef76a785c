#include "agent/ports/layout.hpp"
#include "agent/report/status_file.hpp"
#include "tests/support/lock_holder.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <string>

#include <sys/stat.h>

namespace agent {
namespace {

constexpr const char* boot = "6f2a3c1e-8a51-4f5d-9c53-0d8f3b1b2c4d";

Status ready_status() {
    Status status;
    status.state = MachineState::ready;
    status.boot_id = boot;
    return status;
}

class Machine {
public:
    Machine() { std::filesystem::create_directories(root() / "/run/agent"); }
    [[nodiscard]] Root root() const { return directory_.root(); }
    [[nodiscard]] std::filesystem::path lock() const { return root() / layout::lock_file; }
    void write(const Status& status) const {
        StatusFile file{root()};
        REQUIRE(file.write(status).has_value());
    }

private:
    test::TempRoot directory_;
};

TEST_CASE("status file: anybody may read it", "[unit][report]") {
    const Machine machine;
    machine.write(ready_status());
    struct stat found{};
    REQUIRE(::stat((machine.root() / layout::status_file).c_str(), &found) == 0);
    CHECK((found.st_mode & 0777U) == 0644U);
}

TEST_CASE("status file: the same status is not written twice", "[unit][report]") {
    const Machine machine;
    StatusFile file{machine.root()};
    const auto inode = [&] {
        struct stat found{};
        REQUIRE(::stat((machine.root() / layout::status_file).c_str(), &found) == 0);
        return found.st_ino;
    };
    Status status = ready_status();
    REQUIRE(file.write(status).has_value());
    // A second name keeps the inode number from being given to the next file.
    std::filesystem::create_hard_link(machine.root() / layout::status_file,
                                      machine.root() / "/run/agent/kept");
    const auto first = inode();
    REQUIRE(file.write(status).has_value());
    CHECK(inode() == first);
    status.summary = "something new";
    REQUIRE(file.write(status).has_value());
    CHECK(inode() != first);
}

TEST_CASE("status file: a failed write is tried again with the same status", "[unit][report]") {
    const test::TempRoot directory;
    StatusFile file{directory.root()};
    CHECK(file.write(ready_status()).has_error());
    std::filesystem::create_directories(directory.root() / "/run/agent");
    CHECK(file.write(ready_status()).has_value());
    CHECK(std::filesystem::exists(directory.root() / layout::status_file));
}

TEST_CASE("reading the status: fresh while the daemon of this boot lives", "[unit][report]") {
    const Machine machine;
    machine.write(ready_status());
    const test::LockHolder daemon{machine.lock()};

    const auto reading = read_status(machine.root(), boot);
    CHECK_FALSE(reading.stale);
    CHECK(reading.why.empty());
    CHECK(reading.daemon == daemon.pid());
    REQUIRE(reading.status);
    CHECK(reading.status->state == MachineState::ready);
}

TEST_CASE("reading the status: stale once the daemon was killed", "[unit][report]") {
    const Machine machine;
    machine.write(ready_status());
    {
        const test::LockHolder daemon{machine.lock()};
    }
    const auto reading = read_status(machine.root(), boot);
    CHECK(reading.stale);
    CHECK(reading.why == "the agent is not running");
    CHECK(reading.daemon == 0);
    CHECK(reading.status);
}

TEST_CASE("reading the status: stale when it is of an earlier boot", "[unit][report]") {
    const Machine machine;
    machine.write(ready_status());
    const test::LockHolder daemon{machine.lock()};
    const auto reading = read_status(machine.root(), "another-boot");
    CHECK(reading.stale);
    CHECK(reading.why == "this status is of an earlier boot");
}

TEST_CASE("reading the status: none yet, none at all, and none that can be read",
          "[unit][report]") {
    const Machine machine;
    SECTION("nothing was ever started") {
        const auto reading = read_status(machine.root(), boot);
        CHECK(reading.why == "the agent is not running and has left no status");
        CHECK(reading.stale);
        CHECK_FALSE(reading.status);
    }
    SECTION("the daemon has only just begun") {
        const test::LockHolder daemon{machine.lock()};
        const auto reading = read_status(machine.root(), boot);
        CHECK(reading.why == "the agent has not said anything yet");
        CHECK_FALSE(reading.status);
    }
    SECTION("the file is no JSON") {
        std::ofstream{machine.root() / layout::status_file} << "{\"schema\":";
        const auto reading = read_status(machine.root(), boot);
        CHECK(reading.why.starts_with("reading the status: "));
        CHECK_FALSE(reading.status);
    }
}

TEST_CASE("the boot's id is read without its newline", "[unit][report]") {
    const test::TempRoot directory;
    CHECK(current_boot_id(directory.root()).empty());
    const auto file = directory.root() / "/proc/sys/kernel/random/boot_id";
    std::filesystem::create_directories(file.parent_path());
    std::ofstream{file} << boot << '\n';
    CHECK(current_boot_id(directory.root()) == boot);
}

} // namespace
} // namespace agent
