#include "agent/supervise/retry_schedule.hpp"

#include <catch2/catch_test_macros.hpp>

using namespace agent;
using namespace std::chrono_literals;

TEST_CASE(
    "retry schedule: later and later, a quarter of an hour at most, and anew when it is wanted",
    "[unit][supervise]") {
    RetrySchedule schedule;
    constexpr double late = 1.0;
    CHECK(schedule.next(late) == 1min);
    CHECK(schedule.next(late) == 2min);
    CHECK(schedule.next(late) == 4min);
    CHECK(schedule.next(late) == 8min);
    CHECK(schedule.next(late) == 15min);
    CHECK(schedule.next(late) == 15min);
    CHECK(schedule.next(0.0) == 90s);
    schedule.begin_anew();
    CHECK(schedule.next(late) == 1min);
}
