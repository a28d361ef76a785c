// Owns the decision when to try again: pure, the caller supplies randomness and waits itself.
#pragma once

#include <chrono>

namespace agent {

struct Backoff {
    std::chrono::milliseconds first{200};
    std::chrono::milliseconds longest{5000};

    // Full jitter: attempt 1 waits up to `first`, each further one up to twice as long, never above
    // `longest`. `random` is in [0, 1). Never below a tenth of the ceiling, so no tight loop.
    [[nodiscard]] std::chrono::milliseconds delay(unsigned attempt, double random) const;
};

} // namespace agent
