#include "agent/base/lock.hpp"
#include "tests/support/lock_holder.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <optional>
#include <variant>

#include <sys/stat.h>

namespace agent {
namespace {

TEST_CASE("lock: the second process learns who holds it", "[unit][base]") {
    const test::TempRoot root;
    const auto path = root.path() / "lock";
    test::LockHolder holder{path};

    const auto refused = ProcessLock::take(path);
    REQUIRE(refused.has_value());
    REQUIRE(std::holds_alternative<ProcessLock::HeldBy>(*refused));
    CHECK(std::get<ProcessLock::HeldBy>(*refused).pid == holder.pid());
    CHECK(lock_holder(path) == holder.pid());
}

TEST_CASE("lock: it is free again when its holder was killed", "[unit][base]") {
    const test::TempRoot root;
    const auto path = root.path() / "lock";
    test::LockHolder holder{path};
    holder.end();

    CHECK(lock_holder(path) == std::nullopt);
    const auto taken = ProcessLock::take(path);
    REQUIRE(taken.has_value());
    CHECK(std::holds_alternative<ProcessLock>(*taken));
}

TEST_CASE("lock: asking for the holder neither takes nor creates it", "[unit][base]") {
    const test::TempRoot root;
    const auto path = root.path() / "lock";
    CHECK(lock_holder(path) == std::nullopt);
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("lock: everybody may ask, only the owner may lock", "[unit][base]") {
    const test::TempRoot root;
    const auto path = root.path() / "lock";
    const auto taken = ProcessLock::take(path);
    REQUIRE(taken.has_value());
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0644U);
}

TEST_CASE("lock: a missing directory is an error, not a held lock", "[unit][base]") {
    const test::TempRoot root;
    const auto taken = ProcessLock::take(root.path() / "nowhere" / "lock");
    REQUIRE(taken.has_error());
    CHECK(taken.error().message.find("nowhere/lock") != std::string::npos);
}

} // namespace
} // namespace agent
