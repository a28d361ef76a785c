#include "agent/front/limits.hpp"

#include <algorithm>

namespace agent {

Places::Admission Places::admit(Number number, const std::string& network) {
    Admission admission;
    const auto own = networks_.find(network);
    const std::size_t owned = own == networks_.end() ? 0 : own->second.size();
    if (owned >= share_) {
        if (when_taken_ == ShareTaken::refuse)
            return admission;
        admission.pushed_out = take_oldest(own);
    } else if (taken_ >= total_) {
        const auto largest = std::max_element(
            networks_.begin(), networks_.end(), [](const auto& left, const auto& right) {
                return left.second.size() < right.second.size();
            });
        // Whoever would then have most himself gains nothing by pushing.
        if (when_taken_ == ShareTaken::refuse && largest->second.size() <= owned + 1)
            return admission;
        admission.pushed_out = take_oldest(largest);
    }
    networks_[network].push_back(number);
    ++taken_;
    admission.admitted = true;
    return admission;
}

void Places::release(Number number, const std::string& network) {
    const auto found = networks_.find(network);
    if (found == networks_.end())
        return;
    auto& numbers = found->second;
    const auto place = std::find(numbers.begin(), numbers.end(), number);
    if (place == numbers.end())
        return;
    numbers.erase(place);
    --taken_;
    if (numbers.empty())
        networks_.erase(found);
}

Places::Number Places::take_oldest(Networks::iterator network) {
    const Number oldest = network->second.front();
    network->second.pop_front();
    --taken_;
    if (network->second.empty())
        networks_.erase(network);
    return oldest;
}

} // namespace agent
