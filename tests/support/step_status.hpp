// Owns how tests write down where steps stand.
#pragma once

#include "agent/report/status.hpp"

#include <string>
#include <utility>
#include <vector>

namespace agent::test {

inline StepStatus
step(std::string id, std::string state, std::string reason = {}, std::string error = {}) {
    StepStatus status;
    status.id = std::move(id);
    status.state = std::move(state);
    status.reason = std::move(reason);
    status.error = std::move(error);
    return status;
}

inline Status with(std::vector<StepStatus> steps) {
    Status status;
    status.steps = std::move(steps);
    return status;
}

} // namespace agent::test
