#include "agent/base/unique_fd.hpp"
#include "agent/host/device_terminals.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

namespace {

// A machine with one terminal, which is a real one, and things that are none.
class Machine {
public:
    Machine() : master_{::posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK)} {
        REQUIRE(master_);
        REQUIRE(::grantpt(master_.get()) == 0);
        REQUIRE(::unlockpt(master_.get()) == 0);
        std::array<char, 64> name{};
        REQUIRE(::ptsname_r(master_.get(), name.data(), name.size()) == 0);
        slave_ = UniqueFd{::open(name.data(), O_RDWR | O_NOCTTY)};
        std::filesystem::create_directories(root_.path() / "dev/pts");
        std::filesystem::create_symlink(name.data(), root_.root() / "/dev/pts/3");
        std::filesystem::create_symlink("/dev/ptmx", root_.root() / "/dev/pts/ptmx");
        std::filesystem::create_symlink("/dev/null", root_.root() / "/dev/tty");
        std::filesystem::create_symlink("/dev/null", root_.root() / "/dev/tty1"); // root's
        std::ofstream{root_.root() / "/dev/pts/4"} << "no device";
        std::ofstream{root_.root() / "/dev/ttyS0"} << "no device";
    }
    [[nodiscard]] Root root() const { return root_.root(); }
    [[nodiscard]] WallTime last_read() const {
        struct stat found{};
        ::fstat(slave_.get(), &found);
        return WallTime{std::chrono::duration_cast<WallTime::duration>(
            std::chrono::seconds{found.st_atim.tv_sec} +
            std::chrono::nanoseconds{found.st_atim.tv_nsec})};
    }
    [[nodiscard]] std::string shown() const {
        std::array<char, 4096> text{};
        const auto got = ::read(master_.get(), text.data(), text.size());
        return {text.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
    }

private:
    test::TempRoot root_;
    UniqueFd master_;
    UniqueFd slave_;
};

} // namespace

TEST_CASE("terminals: those below /dev/pts and the consoles of people, with their last input",
          "[unit][host]") {
    const Machine machine;
    const auto open = DeviceTerminals{machine.root()}.open();
    REQUIRE(open.size() == 1);
    CHECK(open.front().line == "pts/3");
    CHECK(open.front().last_input == machine.last_read());
}

TEST_CASE("terminals: everybody reads what is told", "[unit][host]") {
    const Machine machine;
    DeviceTerminals terminals{machine.root()};
    terminals.tell_all("This machine powers off.\nHold it.\n");
    CHECK_THAT(machine.shown(), ContainsSubstring("This machine powers off."));
}

TEST_CASE("terminals: a machine without any has nobody to tell", "[unit][host]") {
    const test::TempRoot root;
    DeviceTerminals terminals{root.root()};
    CHECK(terminals.open().empty());
    terminals.tell_all("nobody hears");
}
