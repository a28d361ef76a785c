#include "agent/base/file_system.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <fstream>

using namespace agent;
using namespace agent::test;

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

TEST_CASE("file_system: another file system is another", "[unit][base]") {
    CHECK(file_system_of("/proc").value().id != file_system_of("/").value().id);
}
