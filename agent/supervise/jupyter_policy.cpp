#include "agent/supervise/jupyter_policy.hpp"

#include <algorithm>
#include <utility>

namespace agent {

JupyterAction JupyterPolicy::observe(const JupyterObservation& seen) {
    if (seen.exited || phase_ == Phase::gone) {
        phase_ = Phase::gone;
        return JupyterAction::leave;
    }
    if (seen.stop_requested && !asked_) {
        asked_ = true;
        if (probing())
            return terminate(seen.now, stop_grace, {});
        next_look_ = std::min(next_look_, seen.now + stop_grace);
    }
    if (probing()) {
        if (seen.probe)
            return probed(*seen.probe, seen.now);
        return JupyterAction::nothing;
    }
    if (seen.now < next_look_)
        return JupyterAction::nothing;
    if (phase_ == Phase::terminating)
        return kill(seen.now);
    phase_ = Phase::gone;
    return JupyterAction::leave;
}

JupyterAction JupyterPolicy::probed(ProbeFinding finding, Monotonic now) {
    switch (finding) {
    case ProbeFinding::open:
        reason_ = "Jupyter is not fit to be served";
        return kill(now);
    case ProbeFinding::silent:
        return silent(now);
    case ProbeFinding::answers:
        break;
    }
    failures_ = 0;
    next_look_ = now + interval;
    if (std::exchange(phase_, Phase::serving) == Phase::serving)
        return JupyterAction::nothing;
    return JupyterAction::say_ready;
}

JupyterAction JupyterPolicy::silent(Monotonic now) {
    if (phase_ == Phase::starting) {
        next_look_ = now + start_interval;
        if (now - started_ < start_allowance)
            return JupyterAction::nothing;
        return terminate(now,
                         trouble_grace,
                         "Jupyter did not answer within " +
                             std::to_string(start_allowance.count()) + " s of its start");
    }
    if (failures_++ == 0)
        silent_since_ = now;
    next_look_ = now + interval_after_failure;
    const auto silence = now - silent_since_;
    if (failures_ >= failures_before_restart && silence >= silence_before_restart)
        return terminate(
            now,
            trouble_grace,
            "Jupyter has not answered for " +
                std::to_string(std::chrono::duration_cast<std::chrono::seconds>(silence).count()) +
                " s");
    if (failures_ < failures_before_word || phase_ == Phase::troubled)
        return JupyterAction::nothing;
    phase_ = Phase::troubled;
    return JupyterAction::say_trouble;
}

JupyterAction
JupyterPolicy::terminate(Monotonic now, std::chrono::seconds grace, std::string reason) {
    phase_ = Phase::terminating;
    next_look_ = now + grace;
    reason_ = std::move(reason);
    return JupyterAction::terminate;
}

JupyterAction JupyterPolicy::kill(Monotonic now) {
    phase_ = Phase::killing;
    next_look_ = now + reap_grace;
    return JupyterAction::kill;
}

} // namespace agent
