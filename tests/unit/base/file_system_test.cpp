#include "agent/base/file_system.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <fstream>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("file_system: a path that is not there yet lies where its nearest parent does",
          "[unit][base]") {
    const TempRoot root;
    const auto here = file_system_of(root.path()).value();
    const auto there = file_system_of(root.path() / "opt/jupyter/lib").value();
    CHECK(there.id == here.id);
    CHECK(there.bytes == here.bytes);
    CHECK(here.bytes > 0);
    CHECK(here.free_bytes <= here.bytes);
    CHECK(here.free_bytes_of_users <= here.free_bytes);
    CHECK(here.free_inodes <= here.inodes);
}

TEST_CASE("file_system: what lies below a file is looked for beside it", "[unit][base]") {
    const TempRoot root;
    std::ofstream{root.path() / "file"} << "text";
    CHECK(file_system_of(root.path() / "file/below").value().id ==
          file_system_of(root.path()).value().id);
}

TEST_CASE("file_system: where it is mounted is the longest mount point above", "[unit][base]") {
    CHECK(mount_point_of("/proc/self/status") == "/proc");
    CHECK(mount_point_of("/proc") == "/proc");
    CHECK(mount_point_of("/processes-not-there") != "/proc");
}

TEST_CASE("file_system: what is in the way of writing is told apart, with a remedy",
          "[unit][base]") {
    FileSystem disk;
    disk.bytes = 16 << 20;
    disk.free_bytes = disk.free_bytes_of_users = 8 << 20;
    disk.inodes = 1000;
    disk.free_inodes = 500;
    CHECK_FALSE(obstacle_to_writing(disk, "/var"));
    SECTION("read-only") {
        disk.read_only = true;
        const auto found = obstacle_to_writing(disk, "/var").value();
        CHECK(found.message == "/var is mounted read-only (ro)");
        CHECK_THAT(found.next, ContainsSubstring("mount -o remount,rw /var"));
    }
    SECTION("no bytes") {
        disk.free_bytes_of_users = 4096;
        const auto found = obstacle_to_writing(disk, "/var").value();
        CHECK(found.message == "/var is full: 4 of 16384 KiB are free");
        CHECK_THAT(found.next, ContainsSubstring("df -h /var"));
    }
    SECTION("no inodes") {
        disk.free_inodes = 0;
        const auto found = obstacle_to_writing(disk, "/var").value();
        CHECK(found.message ==
              "/var has no free inodes: it holds 1000 files, which is the most it can");
        CHECK_THAT(found.next, ContainsSubstring("df -i /var"));
    }
    SECTION("a file system that makes inodes as it needs them has none to count") {
        disk.inodes = disk.free_inodes = 0;
        CHECK_FALSE(obstacle_to_writing(disk, "/var"));
    }
}

TEST_CASE("file_system: another file system is another", "[unit][base]") {
    CHECK(file_system_of("/proc").value().id != file_system_of("/").value().id);
}
