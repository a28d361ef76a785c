#include "agent/front/gate.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

using namespace std::chrono_literals;

namespace agent {
namespace {

constexpr Monotonic t0{std::chrono::hours{1}};
constexpr pid_t jupyter = 700;

ProbeObservation seen(ProbeOutcome outcome, pid_t process = jupyter) {
    return {outcome, process};
}

} // namespace

TEST_CASE("gate: closed and due at once in the beginning", "[unit][front]") {
    const Gate gate;
    CHECK_FALSE(gate.open());
    CHECK(gate.next_probe() <= t0);
}

TEST_CASE("gate: only a passed probe opens it", "[unit][front]") {
    const auto outcome =
        GENERATE(ProbeOutcome::unreachable, ProbeOutcome::unanswered, ProbeOutcome::unsafe);
    Gate gate;
    gate.probed(seen(outcome), t0);
    CHECK_FALSE(gate.open());
    CHECK(gate.next_probe() == t0 + 500ms);
    gate.probed(seen(ProbeOutcome::passed), t0);
    CHECK(gate.open());
    CHECK(gate.next_probe() == t0 + 10s);
}

TEST_CASE("gate: open to the process that passed and to no other", "[unit][front]") {
    Gate gate;
    gate.probed(seen(ProbeOutcome::passed), t0);
    CHECK(gate.open_to(jupyter));
    CHECK_FALSE(gate.open_to(jupyter + 1));
    CHECK_FALSE(gate.open_to(0));
}

TEST_CASE("gate: closes at once when nobody listens or what answers is unsafe", "[unit][front]") {
    const auto outcome = GENERATE(ProbeOutcome::unreachable, ProbeOutcome::unsafe);
    Gate gate;
    gate.probed(seen(ProbeOutcome::passed), t0);
    gate.probed(seen(outcome), t0 + 10s);
    CHECK_FALSE(gate.open());
    CHECK(gate.next_probe() == t0 + 10s + 500ms);
}

TEST_CASE("gate: a process that passed may be busy for a few probes", "[unit][front]") {
    Gate gate;
    gate.probed(seen(ProbeOutcome::passed), t0);
    for (unsigned i = 1; i < Gate::patience; ++i) {
        gate.probed(seen(ProbeOutcome::unanswered), t0 + i * 1s);
        CHECK(gate.open_to(jupyter));
        CHECK(gate.next_probe() == t0 + i * 1s + 500ms);
    }
    gate.probed(seen(ProbeOutcome::unanswered), t0 + 9s);
    CHECK_FALSE(gate.open());
}

TEST_CASE("gate: an answer in between renews the patience", "[unit][front]") {
    Gate gate;
    gate.probed(seen(ProbeOutcome::passed), t0);
    for (int i = 0; i < 5; ++i) {
        gate.probed(seen(ProbeOutcome::unanswered), t0);
        gate.probed(seen(ProbeOutcome::passed), t0);
    }
    CHECK(gate.open());
}

TEST_CASE("gate: there is no patience with a process that never passed", "[unit][front]") {
    Gate gate;
    gate.probed(seen(ProbeOutcome::passed), t0);
    gate.probed(seen(ProbeOutcome::unanswered, jupyter + 1), t0);
    CHECK_FALSE(gate.open());
}

TEST_CASE("gate: losing the backend closes it and asks for a probe at once", "[unit][front]") {
    Gate gate;
    gate.probed(seen(ProbeOutcome::passed), t0);
    gate.lost(t0 + 1s);
    CHECK_FALSE(gate.open());
    CHECK(gate.next_probe() == t0 + 1s);
}

TEST_CASE("gate: doubt asks for a probe at once and closes nothing", "[unit][front]") {
    Gate gate;
    gate.probed(seen(ProbeOutcome::passed), t0);
    gate.doubted(t0 + 1s);
    CHECK(gate.open_to(jupyter));
    CHECK(gate.next_probe() == t0 + 1s);
}

} // namespace agent
