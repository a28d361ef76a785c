#include "agent/front/limits.hpp"

namespace agent {

bool SessionLimits::admit(const std::string& network) {
    if (sessions_ >= total_)
        return false;
    const auto found = by_network_.find(network);
    if (found != by_network_.end() && found->second >= each_)
        return false;
    ++by_network_[network];
    ++sessions_;
    return true;
}

void SessionLimits::release(const std::string& network) {
    const auto found = by_network_.find(network);
    if (found == by_network_.end())
        return;
    if (--found->second == 0)
        by_network_.erase(found);
    --sessions_;
}

} // namespace agent
