// Owns the decision between the page and the relay: observations of Jupyter + now → which of the
// two, and when to look again. Pure.
#pragma once

#include "agent/ports/clock.hpp"

#include <chrono>
#include <optional>

#include <sys/types.h>

namespace agent {

enum class ProbeOutcome {
    passed,      // all three parts
    unreachable, // nobody listens
    unanswered,  // somebody of the right user listens; no answer, a late one or a wrong one
    unsafe,      // open, or a foreign user's: what answers must never be relayed to
};

struct ProbeObservation {
    ProbeOutcome outcome = ProbeOutcome::unreachable;
    pid_t process = 0; // that listened just before the probe; 0: none
};

struct GateTimes {
    std::chrono::milliseconds while_closed{500};
    std::chrono::milliseconds while_open{std::chrono::seconds{10}};
};

// Open only to the very process that passed: one that takes its place (a restart with another,
// perhaps broken configuration) must pass anew, however short the gap. A process that has passed
// and only does not answer in time (a busy event loop) keeps the gate open for `patience` probes.
class Gate {
public:
    static constexpr unsigned patience = 3;

    explicit Gate(GateTimes times = {}) : times_{times} {}

    void probed(const ProbeObservation& observation, Monotonic now);
    // A session found the backend gone, or another process there: the page, and a probe at once.
    void lost(Monotonic now);
    // A session was not answered, which may be its own fault: a probe at once, and as it is till
    // then.
    void doubted(Monotonic now) { next_probe_ = now; }

    [[nodiscard]] bool open() const { return process_.has_value(); }
    [[nodiscard]] bool open_to(pid_t process) const { return process_ == process; }
    [[nodiscard]] Monotonic next_probe() const { return next_probe_; }

private:
    GateTimes times_;
    std::optional<pid_t> process_; // that passed
    unsigned unanswered_ = 0;      // probes in a row, while open
    Monotonic next_probe_{};       // at once
};

} // namespace agent
