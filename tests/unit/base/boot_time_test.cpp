#include "agent/base/boot_time.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

using namespace agent;
using namespace std::chrono_literals;

namespace {

std::chrono::nanoseconds started(const std::string& stat) {
    const test::TempRoot root;
    std::filesystem::create_directories(root.path() / "proc/1");
    std::ofstream{root.root() / "/proc/1/stat"} << stat;
    return first_process_started(root.root());
}

} // namespace

TEST_CASE("boot time: a boot begins with its first process, whatever that is called",
          "[unit][base]") {
    const std::string rest = " S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 ";
    const auto tick = 1000ms / ::sysconf(_SC_CLK_TCK);
    CHECK(started("1 (systemd)" + rest + "250 1 2\n") == 250 * tick);
    CHECK(started("1 (a) b (c)" + rest + "7 1 2\n") == 7 * tick);
}

TEST_CASE("boot time: what is not told is the time of the boot itself", "[unit][base]") {
    CHECK(started("") == 0s);
    CHECK(started("1 (systemd) S 0 1") == 0s);
    CHECK(first_process_started(Root{"/nonexistent"}) == 0s);
}

TEST_CASE("boot time: this machine's first process started before now", "[unit][base]") {
    CHECK(first_process_started(Root{}) <= since_boot());
}
