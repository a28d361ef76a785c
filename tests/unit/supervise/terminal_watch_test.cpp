#include "agent/supervise/terminal_watch.hpp"

#include <catch2/catch_test_macros.hpp>

#include <chrono>
#include <optional>
#include <vector>

using namespace agent;
using namespace std::chrono_literals;

namespace {

constexpr WallTime noon{std::chrono::seconds{1'714'564'800}};

} // namespace

TEST_CASE("terminals: nobody is there", "[unit][supervise]") {
    TerminalWatch watch;
    CHECK_FALSE(watch.observe({}, {100s, noon}, 10min).has_value());
}

TEST_CASE("terminals: at first sight it counts how long ago somebody typed", "[unit][supervise]") {
    TerminalWatch watch;
    CHECK(watch.observe({{"pts/0", noon - 30s}, {"pts/1", noon - 50s}}, {1000s, noon}, 10min) ==
          std::optional{970'000ms});
}

TEST_CASE("terminals: one that was left long ago does not count, nor one of the future",
          "[unit][supervise]") {
    TerminalWatch watch;
    CHECK_FALSE(watch.observe({{"pts/0", noon - 10min}, {"pts/1", noon + 1s}}, {1000s, noon}, 10min)
                    .has_value());
}

TEST_CASE("terminals: later it counts whether something was typed since the last look",
          "[unit][supervise]") {
    TerminalWatch watch;
    const std::vector<Terminal> left{{"pts/0", noon - 1h}};
    CHECK_FALSE(watch.observe(left, {1000s, noon}, 10min).has_value());
    CHECK_FALSE(watch.observe(left, {1015s, noon + 15s}, 10min).has_value());
    CHECK(watch.observe({{"pts/0", noon + 20s}}, {1030s, noon + 30s}, 10min) ==
          std::optional{1'030'000ms});
    CHECK(watch.observe({{"pts/0", noon + 20s}}, {1045s, noon + 45s}, 10min) ==
          std::optional{1'030'000ms});
}

TEST_CASE("terminals: who has left was there", "[unit][supervise]") {
    TerminalWatch watch;
    (void)watch.observe({{"pts/0", noon}}, {1000s, noon}, 10min);
    CHECK(watch.observe({}, {2000s, noon + 1000s}, 10min) == std::optional{1'000'000ms});
}

TEST_CASE("terminals: a wall clock that jumps makes nobody type, and hides nobody who does",
          "[unit][supervise]") {
    constexpr auto year = 365 * 24h;
    for (const auto jump : {std::chrono::seconds{year}, -std::chrono::seconds{year}}) {
        TerminalWatch watch;
        (void)watch.observe({{"pts/0", noon}}, {1000s, noon}, 10min);
        CHECK(watch.observe({{"pts/0", noon}}, {1015s, noon + jump}, 10min) ==
              std::optional{1'000'000ms});
        CHECK(watch.observe({{"pts/0", noon + jump}}, {1030s, noon + jump + 5s}, 10min) ==
              std::optional{1'030'000ms});
    }
}
