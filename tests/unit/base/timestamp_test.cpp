#include "agent/base/timestamp.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <string>

namespace agent {
namespace {

using namespace std::chrono_literals;

TEST_CASE("timestamp: whole seconds of UTC", "[unit][base]") {
    const std::chrono::system_clock::time_point epoch;
    CHECK(timestamp(epoch) == "1970-01-01T00:00:00Z");
    CHECK(timestamp(epoch + 1709210096s + 999ms) == "2024-02-29T12:34:56Z");
    CHECK(timestamp(epoch - 1s) == "1969-12-31T23:59:59Z");
}

TEST_CASE("timestamp: what it writes it reads", "[unit][base]") {
    const std::string text = GENERATE("1970-01-01T00:00:00Z", "2024-02-29T12:34:56Z");
    const auto read = parse_timestamp(text);
    REQUIRE(read);
    CHECK(timestamp(*read) == text);
}

TEST_CASE("timestamp: anything else is no time", "[unit][base]") {
    const std::string text = GENERATE("",
                                      "2024-02-30T12:34:56Z",
                                      "2024-02-29T24:00:00Z",
                                      "2024-02-29T12:34:56",
                                      "2024-02-29 12:34:56Z",
                                      "2024-02-29T12:34:56.5Z",
                                      "2024-02-29T12:34:5xZ");
    CHECK(parse_timestamp(text) == std::nullopt);
}

} // namespace
} // namespace agent
