#include "agent/base/backoff.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <limits>

using namespace agent;
using namespace std::chrono_literals;

namespace {

constexpr double nearly_one = 1.0 - std::numeric_limits<double>::epsilon();

} // namespace

TEST_CASE("backoff: the ceiling doubles with every attempt until it is the longest",
          "[unit][base]") {
    struct Row {
        unsigned attempt;
        std::chrono::milliseconds ceiling;
    };
    const auto row = GENERATE(Row{0, 200ms},
                              Row{1, 200ms},
                              Row{2, 400ms},
                              Row{3, 800ms},
                              Row{5, 3200ms},
                              Row{6, 5000ms},
                              Row{1'000'000, 5000ms},
                              Row{std::numeric_limits<unsigned>::max(), 5000ms});
    const Backoff backoff;
    CHECK(backoff.delay(row.attempt, nearly_one) == row.ceiling);
    CHECK(backoff.delay(row.attempt, 0) == row.ceiling / 10);
}

TEST_CASE("backoff: chance spreads the delay between a tenth and the whole", "[unit][base]") {
    const Backoff backoff{1000ms, 30s};
    CHECK(backoff.delay(1, 0) == 100ms);
    CHECK(backoff.delay(1, 0.5) == 550ms);
    CHECK(backoff.delay(1, nearly_one) == 1000ms);
}

TEST_CASE("backoff: a random number outside its range is no reason to wait longer or not at all",
          "[unit][base]") {
    const Backoff backoff;
    CHECK(backoff.delay(1, -3) == 20ms);
    CHECK(backoff.delay(1, 7) == 200ms);
}
