#include "agent/base/files.hpp"
#include "agent/report/guest_attributes.hpp"
#include "agent/report/guest_write_record.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;

namespace {

using Writes = std::vector<Monotonic>;
constexpr Monotonic now{1h};

struct Machine {
    TempRoot root;
    GuestWriteRecord record{root.root()};

    Machine() { std::filesystem::create_directories(root.path() / "run/agent"); }
    void was_up_before() const {
        std::filesystem::create_directories(root.path() / "var/lib/agent/ledger");
    }
    void holds(const std::string& text) const {
        REQUIRE(durable_write(root.path() / "run/agent/guest-writes", text).has_value());
    }
};

} // namespace

TEST_CASE("guest write record: a disk that was never up has nothing to count", "[unit][report]") {
    const Machine machine;
    CHECK(machine.record.earlier(now).empty());
}

TEST_CASE("guest write record: the first process of a boot leaves room for the boot before",
          "[unit][report]") {
    const Machine machine;
    machine.was_up_before();
    constexpr auto lent_count = GuestAttributeSchedule::lent_to_the_boot_before;
    const Writes lent(lent_count, now - GuestAttributeSchedule::gap);
    CHECK(machine.record.earlier(now) == lent);
}

TEST_CASE("guest write record: another process of the boot counts what is recorded",
          "[unit][report]") {
    const Machine machine;
    if (GENERATE(false, true))
        machine.was_up_before();
    const Writes writes{now - 70s, now - 30s, now - 500ms};
    REQUIRE(machine.record.remember(writes).has_value());
    CHECK(machine.record.earlier(now) == writes);
    REQUIRE(machine.record.remember({}).has_value());
    CHECK(machine.record.earlier(now).empty());
}

TEST_CASE("guest write record: what cannot be of this boot is not counted", "[unit][report]") {
    const Machine machine;
    REQUIRE(machine.record.remember({now - 1s, now + 1s}).has_value());
    CHECK(machine.record.earlier(now) == Writes{now - 1s});
}

TEST_CASE("guest write record: nonsense is as good as nothing", "[unit][report]") {
    const Machine machine;
    machine.was_up_before();
    machine.holds(GENERATE("x\n", "12 13\n", "1\n-\n", "99999999999999999999\n"));
    CHECK(machine.record.earlier(now).size() == GuestAttributeSchedule::lent_to_the_boot_before);
}

TEST_CASE("guest write record: a failure says what was being done", "[unit][report]") {
    const TempRoot bare;
    const auto written = GuestWriteRecord{bare.root()}.remember({now});
    REQUIRE(written.has_error());
    CHECK(written.error().message.find("guest attributes") != std::string::npos);
}
