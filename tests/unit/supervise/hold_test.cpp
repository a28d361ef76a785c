#include "agent/supervise/hold.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <string>

using namespace agent;
using namespace std::chrono_literals;

namespace {

constexpr WallTime noon{std::chrono::seconds{1'714'564'800}}; // 2024-05-01T12:00:00Z
constexpr Hold::Now start{1000s, noon};

} // namespace

TEST_CASE("hold: nobody holds a machine that nobody asked to hold", "[unit][supervise]") {
    CHECK_FALSE(Hold{}.at(0s).has_value());
    Hold hold;
    CHECK_FALSE(hold.release(0s));
}

TEST_CASE("hold: it ends when its time since the boot has passed, whatever the wall clock says",
          "[unit][supervise]") {
    Hold hold;
    REQUIRE(hold.extend(start, 2h, "anna"));
    REQUIRE(hold.at(1000s).has_value());
    CHECK(hold.at(1000s)->by == "anna");
    CHECK(hold.at(1000s)->shown == noon + 2h);
    CHECK(hold.at(1000s + 2h - 1ms).has_value());
    CHECK_FALSE(hold.at(1000s + 2h).has_value());
}

TEST_CASE("hold: it is extended, never shortened, until it is released", "[unit][supervise]") {
    Hold hold;
    REQUIRE(hold.extend(start, 2h, "anna"));
    CHECK_FALSE(hold.extend(start, 1h, "ben"));
    CHECK(hold.at(1000s)->by == "anna");
    CHECK(hold.extend(start, 3h, "ben"));
    CHECK(hold.at(1000s)->by == "ben");
    CHECK(hold.at(1000s + 2h).has_value());
    CHECK(hold.release(1000s));
    CHECK_FALSE(hold.at(1000s).has_value());
    CHECK(hold.extend(start, 1h, "ben"));
}

TEST_CASE("hold: one that has run out is no obstacle to a shorter one", "[unit][supervise]") {
    Hold hold;
    REQUIRE(hold.extend(start, 1s, "anna"));
    CHECK_FALSE(hold.release(2000s));
    CHECK(hold.extend({2000s, noon}, 1s, "ben"));
}

TEST_CASE("hold: what is written is the hold that is read", "[unit][supervise]") {
    Hold hold;
    REQUIRE(hold.extend(start, 90min, "anna"));
    const auto read = Hold::from_value(hold.to_value()).value();
    REQUIRE(read.at(1000s).has_value());
    CHECK(read.at(1000s)->until == hold.at(1000s)->until);
    CHECK(read.at(1000s)->shown == noon + 90min);
    CHECK(read.at(1000s)->by == "anna");
    CHECK_FALSE(Hold::from_value(Hold{}.to_value()).value().at(0s).has_value());
}

TEST_CASE("hold: what is no hold is refused", "[unit][supervise]") {
    CHECK(Hold::from_value(Value{7}).has_error());
    CHECK(Hold::from_value(Value::Object{{"version", 2, {}},
                                         {"until", "2024-05-01T12:00:00Z", {}},
                                         {"until_since_boot_ms", 5, {}}})
              .has_error());
    CHECK(Hold::from_value(Value::Object{{"version", 1, {}},
                                         {"until", "noon", {}},
                                         {"until_since_boot_ms", 5, {}}})
              .has_error());
}

TEST_CASE("hold: people are told the day only when it is another", "[unit][supervise]") {
    CHECK(clock_face(noon + 3h + 4min, noon) == "15:04 UTC");
    CHECK(clock_face(noon + 13h, noon) == "2024-05-02 01:00 UTC");
}
