// Owns the decision when a run that failed of something passing is tried again by itself. Pure.
#pragma once

#include "agent/base/backoff.hpp"

#include <chrono>

namespace agent {

class RetrySchedule {
public:
    // A run that was wanted: by a boot, another configuration, a person.
    void begin_anew() { failures_ = 0; }
    // From the end of one more failed run to the begin of the next; `random` is in [0, 1).
    [[nodiscard]] std::chrono::milliseconds next(double random) {
        return backoff.delay(++failures_, random);
    }

private:
    static constexpr Backoff backoff{std::chrono::minutes{1}, std::chrono::minutes{15}};
    unsigned failures_ = 0;
};

} // namespace agent
