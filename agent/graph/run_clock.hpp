// Owns the time that counts towards a run's limit: all of it, but for what the run does nothing
// else than wait for a person. Pure; monotonic time only.
#pragma once

#include "agent/ports/clock.hpp"

#include <chrono>
#include <optional>

namespace agent {

class RunClock {
public:
    // No limit: nothing is ever over. `before`: what counts already.
    explicit RunClock(std::optional<std::chrono::milliseconds> limit = {},
                      std::chrono::milliseconds before = {})
        : limit_{limit}, before_{before} {}

    // One step more, or one less, works; a step that waits for a person does not.
    void begin_work(Monotonic now);
    void end_work(Monotonic now);

    [[nodiscard]] std::chrono::milliseconds spent(Monotonic now) const;
    // Not below zero; absent: no limit.
    [[nodiscard]] std::optional<std::chrono::milliseconds> left(Monotonic now) const;
    [[nodiscard]] bool is_over(Monotonic now) const;
    [[nodiscard]] std::optional<std::chrono::milliseconds> limit() const { return limit_; }

private:
    std::optional<std::chrono::milliseconds> limit_;
    unsigned working_ = 0;
    Monotonic since_{};             // while somebody works
    Monotonic::duration before_{0}; // of the times when somebody worked
};

} // namespace agent
