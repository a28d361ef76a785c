#include "agent/ports/layout.hpp"
#include "agent/report/status_changes.hpp"
#include "agent/report/status_file.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <string>

#include <poll.h>

using namespace agent;
using namespace agent::test;

namespace {

bool is_told(const StatusChanges& changes) {
    pollfd change{changes.fd(), POLLIN, 0};
    return ::poll(&change, 1, 0) == 1;
}

void write(const Root& root, std::string summary) {
    StatusFile file{root};
    Status status;
    status.summary = std::move(summary);
    REQUIRE(file.write(status).has_value());
}

} // namespace

TEST_CASE("status changes: a status that is replaced is told once", "[unit][report]") {
    const TempRoot directory;
    std::filesystem::create_directories(directory.root() / layout::runtime_directory);
    StatusChanges changes{directory.root()};
    CHECK_FALSE(is_told(changes));
    write(directory.root(), "one");
    CHECK(is_told(changes));
    changes.look();
    CHECK_FALSE(is_told(changes));
    write(directory.root(), "two");
    CHECK(is_told(changes));
}

TEST_CASE("status changes: a directory that is not there yet is looked for more often",
          "[unit][report]") {
    const TempRoot directory;
    StatusChanges changes{directory.root()};
    CHECK(changes.fd() == -1);
    const auto impatient = changes.longest_wait();
    std::filesystem::create_directories(directory.root() / layout::runtime_directory);
    changes.look();
    CHECK(changes.longest_wait() > impatient);
    write(directory.root(), "one");
    CHECK(is_told(changes));
}

TEST_CASE("status changes: a directory that was removed and made again is watched again",
          "[unit][report]") {
    const TempRoot directory;
    const auto path = directory.root() / layout::runtime_directory;
    std::filesystem::create_directories(path);
    StatusChanges changes{directory.root()};
    std::filesystem::remove_all(path);
    CHECK(is_told(changes));
    changes.look();
    CHECK(changes.fd() == -1);
    std::filesystem::create_directories(path);
    changes.look();
    write(directory.root(), "one");
    CHECK(is_told(changes));
}
