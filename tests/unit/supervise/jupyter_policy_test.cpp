#include "agent/supervise/jupyter_policy.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <string>

namespace agent {
namespace {

using namespace std::chrono_literals;
using enum ProbeFinding;
using Action = JupyterAction;

// A policy and the moment; every call moves time first.
class Course {
public:
    Action probe(std::chrono::milliseconds later, ProbeFinding finding) {
        now_ += later;
        return policy.observe({.now = now_, .probe = finding});
    }
    Action look(std::chrono::milliseconds later) {
        now_ += later;
        return policy.observe({.now = now_});
    }
    Action stop() { return policy.observe({.now = now_, .stop_requested = true}); }
    Action exit() { return policy.observe({.now = now_, .exited = true}); }
    [[nodiscard]] std::chrono::nanoseconds until_next_look() const {
        return policy.next_look() - now_;
    }

private:
    Monotonic now_{1h};

public:
    JupyterPolicy policy{now_};
};

Course serving() {
    Course course;
    REQUIRE(course.probe(1s, answers) == Action::say_ready);
    return course;
}

TEST_CASE("jupyter policy: ready with the first answer, and only once", "[unit][supervise]") {
    Course course;
    CHECK(course.until_next_look() == 0s);
    CHECK(course.probe(0ms, silent) == Action::nothing);
    CHECK(course.until_next_look() == 300ms);
    CHECK(course.probe(2s, silent) == Action::nothing);
    CHECK(course.probe(1s, answers) == Action::say_ready);
    CHECK(course.until_next_look() == 10s);
    CHECK(course.probe(10s, answers) == Action::nothing);
}

TEST_CASE("jupyter policy: a start may take two minutes, not longer", "[unit][supervise]") {
    Course course;
    CHECK(course.probe(119s, silent) == Action::nothing);
    CHECK(course.probe(1s, silent) == Action::terminate);
    CHECK(course.policy.reason() == "Jupyter did not answer within 120 s of its start");
    CHECK_FALSE(course.policy.probing());
    CHECK_FALSE(course.policy.asked_to_stop());
}

TEST_CASE("jupyter policy: one lost probe is no trouble", "[unit][supervise]") {
    Course course = serving();
    CHECK(course.probe(10s, silent) == Action::nothing);
    CHECK(course.until_next_look() == 2s);
    CHECK(course.probe(2s, answers) == Action::nothing);
}

TEST_CASE("jupyter policy: trouble is said once and taken back", "[unit][supervise]") {
    Course course = serving();
    CHECK(course.probe(10s, silent) == Action::nothing);
    CHECK(course.probe(2s, silent) == Action::say_trouble);
    CHECK(course.probe(2s, silent) == Action::nothing);
    CHECK(course.probe(2s, answers) == Action::say_ready);
    CHECK(course.probe(10s, silent) == Action::nothing);
    CHECK(course.probe(2s, silent) == Action::say_trouble);
}

TEST_CASE("jupyter policy: kernels are only given up after several failures over half a minute",
          "[unit][supervise]") {
    Course course = serving();
    SECTION("refused at once: many probes in little time") {
        CHECK(course.probe(10s, silent) == Action::nothing);
        CHECK(course.probe(2s, silent) == Action::say_trouble);
        for (int probe = 2; probe < 15; ++probe)
            CHECK(course.probe(2s, silent) == Action::nothing);
        CHECK(course.probe(2s, silent) == Action::terminate);
    }
    SECTION("hung: few probes, each at its deadline") {
        CHECK(course.probe(20s, silent) == Action::nothing);
        CHECK(course.probe(12s, silent) == Action::say_trouble);
        CHECK(course.probe(20s, silent) == Action::nothing);
        CHECK(course.probe(12s, silent) == Action::terminate);
    }
    SECTION("an answer in between begins the count anew") {
        CHECK(course.probe(20s, silent) == Action::nothing);
        CHECK(course.probe(20s, silent) == Action::say_trouble);
        CHECK(course.probe(20s, silent) == Action::nothing);
        CHECK(course.probe(20s, answers) == Action::say_ready);
        CHECK(course.probe(20s, silent) == Action::nothing);
    }
}

TEST_CASE("jupyter policy: an open Jupyter is killed at once, in any phase", "[unit][supervise]") {
    Course course;
    if (GENERATE(false, true))
        course = serving();
    CHECK(course.probe(1s, open) == Action::kill);
    CHECK_FALSE(course.policy.asked_to_stop());
    CHECK_FALSE(course.policy.reason().empty());
}

TEST_CASE("jupyter policy: SIGTERM, then SIGKILL, then it is left", "[unit][supervise]") {
    Course course = serving();
    const bool asked = GENERATE(true, false);
    if (asked) {
        REQUIRE(course.stop() == Action::terminate);
        CHECK(course.until_next_look() == 15s);
    } else {
        for (int probe = 0; probe < 4; ++probe)
            static_cast<void>(course.probe(15s, silent));
        REQUIRE_FALSE(course.policy.probing());
        CHECK(course.until_next_look() == 20s);
    }
    const auto grace = std::chrono::ceil<std::chrono::milliseconds>(course.until_next_look());
    CHECK(course.look(grace - 1ms) == Action::nothing);
    CHECK(course.look(1ms) == Action::kill);
    CHECK(course.look(9s) == Action::nothing);
    CHECK(course.look(1s) == Action::leave);
    CHECK(course.policy.asked_to_stop() == asked);
}

TEST_CASE("jupyter policy: a stop while it is being ended makes the end no failure and no longer",
          "[unit][supervise]") {
    Course course = serving();
    for (int probe = 0; probe < 4; ++probe)
        static_cast<void>(course.probe(15s, silent));
    REQUIRE(course.until_next_look() == 20s);
    CHECK(course.stop() == Action::nothing);
    CHECK(course.policy.asked_to_stop());
    CHECK(course.until_next_look() == 15s);
    CHECK(course.stop() == Action::nothing);
}

TEST_CASE("jupyter policy: once it is gone nothing more is done", "[unit][supervise]") {
    Course course = serving();
    CHECK(course.exit() == Action::leave);
    CHECK(course.policy.reason().empty());
    CHECK(course.stop() == Action::leave);
}

} // namespace
} // namespace agent
