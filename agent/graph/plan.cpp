#include "agent/graph/plan.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace agent {

std::string_view name_of(StepState state) {
    switch (state) {
    case StepState::pending:
        return "pending";
    case StepState::running:
        return "running";
    case StepState::waiting:
        return "waiting";
    case StepState::satisfied:
        return "satisfied";
    case StepState::applied:
        return "applied";
    case StepState::failed:
        return "failed";
    case StepState::blocked:
        return "blocked";
    case StepState::skipped:
        return "skipped";
    }
    return "pending";
}

Result<Plan> Plan::make(std::span<const StepTraits> traits) {
    Plan plan;
    std::unordered_map<std::string, std::size_t> index_of;
    for (const auto& step : traits) {
        if (!index_of.emplace(step.id, plan.nodes_.size()).second)
            return permanent("planning: two steps are called " + step.id);
        plan.nodes_.push_back({.id = step.id, .dependents = {}, .blocked_by = {}});
    }
    for (std::size_t i = 0; i < traits.size(); ++i)
        for (const auto& need : traits[i].needs) {
            const auto found = index_of.find(need);
            if (found == index_of.end())
                return permanent("planning: " + traits[i].id + " needs " + need +
                                 ", which is no step");
            plan.nodes_[found->second].dependents.push_back(i);
            ++plan.nodes_[i].unmet;
        }

    // Kahn's algorithm: what cannot be ordered lies on a cycle.
    std::vector<std::size_t> unmet;
    std::vector<std::size_t> ordered;
    for (std::size_t i = 0; i < plan.nodes_.size(); ++i) {
        unmet.push_back(plan.nodes_[i].unmet);
        if (unmet[i] == 0)
            ordered.push_back(i);
    }
    plan.ready_ = ordered;
    for (std::size_t next = 0; next < ordered.size(); ++next)
        for (const std::size_t dependent : plan.nodes_[ordered[next]].dependents)
            if (--unmet[dependent] == 0)
                ordered.push_back(dependent);
    if (ordered.size() != plan.nodes_.size())
        return permanent("planning: the steps need each other in a circle");
    plan.open_ = plan.nodes_.size();
    return plan;
}

std::vector<std::size_t> Plan::take_ready() {
    auto taken = std::exchange(ready_, {});
    std::sort(taken.begin(), taken.end());
    for (const std::size_t index : taken)
        nodes_[index].state = StepState::running;
    return taken;
}

std::vector<std::size_t> Plan::finish(std::size_t index, StepState outcome) {
    nodes_[index].state = outcome;
    --open_;
    if (outcome == StepState::failed || outcome == StepState::waiting)
        return block_dependents(index);
    for (const std::size_t dependent : nodes_[index].dependents)
        if (--nodes_[dependent].unmet == 0 && nodes_[dependent].state == StepState::pending)
            ready_.push_back(dependent);
    return {};
}

std::vector<std::size_t> Plan::block_dependents(std::size_t index) {
    const std::string_view ended =
        nodes_[index].state == StepState::waiting ? ", which waits for a person" : ", which failed";
    std::vector<std::size_t> blocked;
    std::vector<std::size_t> open{index};
    while (!open.empty()) {
        const std::size_t cause = open.back();
        open.pop_back();
        for (const std::size_t dependent : nodes_[cause].dependents) {
            Node& node = nodes_[dependent];
            if (node.state != StepState::pending)
                continue;
            node.state = StepState::blocked;
            node.blocked_by = "needs " + nodes_[cause].id;
            node.blocked_by += cause == index ? ended : ", which is blocked";
            --open_;
            open.push_back(dependent);
            blocked.push_back(dependent);
        }
    }
    return blocked;
}

} // namespace agent
