#include "agent/ports/command.hpp"

#include <catch2/catch_test_macros.hpp>

#include <csignal>

using namespace agent;
using namespace std::chrono_literals;

namespace {

CommandOutcome outcome(std::variant<Exited, Signaled, TimedOut> status,
                       std::optional<unsigned> killed_for_memory = std::nullopt) {
    CommandOutcome ended;
    ended.argv = {"/opt/venv/bin/pip", "install"};
    ended.status = status;
    ended.duration = 61s;
    ended.killed_for_memory = killed_for_memory;
    return ended;
}

} // namespace

TEST_CASE("command: how it ended is told, and of a lack of memory only what is known",
          "[unit][ports]") {
    CHECK(describe(outcome(Exited{3})) == "pip exited with status 3");
    CHECK(describe(outcome(Signaled{SIGTERM})) == "pip was killed by SIGTERM");
    CHECK(describe(outcome(TimedOut{})) == "pip did not end within 61 s and was ended");
    CHECK(describe(outcome(Signaled{SIGKILL})) ==
          "pip was killed by SIGKILL (out of memory? see `dmesg`)");
    CHECK(describe(outcome(Signaled{SIGKILL}, 0)) == "pip was killed by SIGKILL");
    CHECK(describe(outcome(Signaled{SIGKILL}, 1)) ==
          "pip was killed by SIGKILL, out of memory (memory.events: oom_kill rose by 1)");
    CHECK(describe(outcome(Exited{1}, 2)) ==
          "pip exited with status 1, out of memory (memory.events: oom_kill rose by 2)");
    CHECK(describe(outcome(TimedOut{}, 1)) == "pip did not end within 61 s and was ended");
}

TEST_CASE("command: a lack of memory passes, so it is transient and says what to do",
          "[unit][ports]") {
    for (const auto& ended : {outcome(Signaled{SIGKILL}, 1), outcome(Exited{1}, 1)}) {
        const auto failed = require_success(ended, ErrorKind::permanent);
        REQUIRE_FALSE(failed.has_value());
        CHECK(failed.error().kind == ErrorKind::transient);
        CHECK(failed.error().next == next_for_lack_of_memory);
    }
    CHECK(require_success(outcome(Exited{1}, 0)).error().kind == ErrorKind::permanent);
    CHECK(require_success(outcome(Signaled{SIGKILL})).error().kind == ErrorKind::permanent);
}

TEST_CASE("command: what succeeded lacked nothing, whoever was killed beside it", "[unit][ports]") {
    CHECK_FALSE(lacked_memory(outcome(Exited{0}, 1)));
    CHECK(require_success(outcome(Exited{0}, 1)).has_value());
}
