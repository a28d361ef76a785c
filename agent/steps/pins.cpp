#include "agent/steps/pins.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <utility>

namespace agent {
namespace {

bool contains(const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

} // namespace

std::vector<std::string> Pins::due(const StepContext& context,
                                   const std::string& fingerprint,
                                   const std::vector<std::string>& deviating) {
    if (!left_alone_) {
        const bool to_change = context.asked_for() || context.last_fingerprint() != fingerprint;
        left_alone_ = to_change ? std::vector<std::string>{} : deviating;
    }
    return to_install(deviating);
}

std::vector<std::string> Pins::missing(const StepContext& context,
                                       const std::string& fingerprint,
                                       std::vector<std::string> unmet,
                                       const std::function<bool(const std::string&)>& is_there) {
    const auto there = std::stable_partition(unmet.begin(), unmet.end(), std::not_fn(is_there));
    const std::vector<std::string> deviating{there, unmet.end()};
    unmet.erase(there, unmet.end());
    for (auto& requirement : due(context, fingerprint, deviating))
        unmet.push_back(std::move(requirement));
    return unmet;
}

std::vector<std::string> Pins::to_install(const std::vector<std::string>& requirements) const {
    std::vector<std::string> kept;
    for (const auto& requirement : requirements)
        if (!left_alone_ || !contains(*left_alone_, requirement))
            kept.push_back(requirement);
    return kept;
}

std::string Pins::report(std::string_view step) const {
    if (!left_alone_ || left_alone_->empty())
        return {};
    return "in another version than pinned: " + printable(join(*left_alone_, " "), 200) +
           "; `agent retry " + std::string{step} + "` changes that";
}

} // namespace agent
