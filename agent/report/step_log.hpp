// Owns the steps' logs: /var/log/agent/STEP.log, root:adm 0640 (the directory hands its group
// down), at most two files of 1 MiB a step. A
// file is opened only when there is something to say. A log that cannot be written stops nothing.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"

#include <string>
#include <string_view>

namespace agent {

class StepLog {
public:
    StepLog(Root root, const Clock& clock) : root_{std::move(root)}, clock_{clock} {}
    void line(std::string_view step, std::string_view text);

private:
    Root root_;
    const Clock& clock_;
};

} // namespace agent
