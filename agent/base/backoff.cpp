#include "agent/base/backoff.hpp"

#include <algorithm>
#include <cmath>

namespace agent {

std::chrono::milliseconds Backoff::delay(unsigned attempt, double random) const {
    const unsigned doublings = std::min(attempt == 0 ? 0U : attempt - 1, 20U);
    const auto ceiling = std::min(longest.count(), first.count() * (1L << doublings));
    const double fraction = 0.1 + 0.9 * std::clamp(random, 0.0, 1.0);
    return std::chrono::milliseconds{std::lround(static_cast<double>(ceiling) * fraction)};
}

} // namespace agent
