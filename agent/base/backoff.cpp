#include "agent/base/backoff.hpp"

#include <algorithm>

namespace agent {

std::chrono::milliseconds Backoff::delay(unsigned attempt, double random) const {
    const unsigned doublings = std::min(attempt == 0 ? 0U : attempt - 1, 20U);
    const auto ceiling = std::min(longest, first * (1LL << doublings));
    const double fraction = 0.1 + 0.9 * std::clamp(random, 0.0, 1.0);
    return std::chrono::milliseconds{
        static_cast<long long>(static_cast<double>(ceiling.count()) * fraction)};
}

} // namespace agent
