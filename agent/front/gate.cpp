#include "agent/front/gate.hpp"

namespace agent {

void Gate::probed(const ProbeObservation& observation, Monotonic now) {
    switch (observation.outcome) {
    case ProbeOutcome::passed:
        unanswered_ = 0;
        process_ = observation.process;
        break;
    case ProbeOutcome::unanswered:
        if (!open_to(observation.process) || ++unanswered_ >= patience)
            process_.reset();
        break;
    case ProbeOutcome::unreachable:
    case ProbeOutcome::unsafe:
        process_.reset();
        break;
    }
    const bool settled = observation.outcome == ProbeOutcome::passed;
    next_probe_ = now + (settled ? times_.while_open : times_.while_closed);
}

void Gate::lost(Monotonic now) {
    process_.reset();
    next_probe_ = now;
}

} // namespace agent
