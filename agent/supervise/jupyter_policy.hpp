// Owns what is decided about a running Jupyter: when it counts as ready, when it is in trouble,
// when and how it is ended. Pure: whoever feeds it has looked at the clock and at Jupyter, and
// obeys. A restart ends every kernel of the user, so it takes several failed probes in a row.
#pragma once

#include "agent/ports/clock.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace agent {

enum class ProbeFinding {
    answers, // the three-part probe passed
    silent,  // no answer, or a wrong one: it may come
    open,    // it answers strangers, or a stranger answers: it must go at once
};

struct JupyterObservation {
    Monotonic now;
    std::optional<ProbeFinding> probe = std::nullopt; // what a probe that has just ended found
    bool exited = false;                              // the child was reaped
    bool stop_requested = false;
};

enum class JupyterAction {
    nothing,
    say_ready,
    say_trouble,
    terminate, // SIGTERM
    kill,      // SIGKILL
    leave,     // it is gone, or will not even die: nothing is left to do
};

class JupyterPolicy {
public:
    // A fresh disk is slow: the first start reads all of Python from it.
    static constexpr std::chrono::seconds start_allowance{120};
    static constexpr std::chrono::milliseconds start_interval{300};
    static constexpr std::chrono::seconds interval{10};
    static constexpr std::chrono::seconds interval_after_failure{2};
    static constexpr unsigned failures_before_word = 2;
    static constexpr unsigned failures_before_restart = 4;
    static constexpr std::chrono::seconds silence_before_restart{30};
    // Below the unit's TimeoutStopSec=25, so that it is we who end it.
    static constexpr std::chrono::seconds stop_grace{15};
    static constexpr std::chrono::seconds trouble_grace{20};
    static constexpr std::chrono::seconds reap_grace{10};

    explicit JupyterPolicy(Monotonic started) : started_{started}, next_look_{started} {}

    [[nodiscard]] JupyterAction observe(const JupyterObservation& seen);

    // Whether Jupyter is to be probed at next_look(); false: it is being ended.
    [[nodiscard]] bool probing() const { return phase_ <= Phase::troubled; }
    // When the next observation is due if nothing happens before.
    [[nodiscard]] Monotonic next_look() const { return next_look_; }
    // Its end was asked for, so it is no failure.
    [[nodiscard]] bool asked_to_stop() const { return asked_; }
    // Why we end it, one sentence; empty: it ended by itself or was asked to.
    [[nodiscard]] const std::string& reason() const { return reason_; }

private:
    enum class Phase { starting, serving, troubled, terminating, killing, gone };

    JupyterAction probed(ProbeFinding finding, Monotonic now);
    JupyterAction silent(Monotonic now);
    JupyterAction terminate(Monotonic now, std::chrono::seconds grace, std::string reason);
    JupyterAction kill(Monotonic now);

    Phase phase_ = Phase::starting;
    Monotonic started_;
    Monotonic next_look_;
    Monotonic silent_since_;
    unsigned failures_ = 0;
    bool asked_ = false;
    std::string reason_;
};

} // namespace agent
