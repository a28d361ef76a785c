// Owns the decision which step may run: pure. Time is linear in steps and edges.
#pragma once

#include "agent/base/error.hpp"
#include "agent/graph/step.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace agent {

class Plan {
public:
    // A duplicate id, an unknown need or a cycle is an Error (a bug in the table).
    [[nodiscard]] static Result<Plan> make(std::span<const StepTraits> traits);

    // Indices whose needs are met and that were not taken yet, in the table's order.
    [[nodiscard]] std::vector<std::size_t> take_ready();
    // satisfied, applied, failed, or waiting for longer than this run; the last two block
    // everything that needs it, and say by what. Gives the indices of what became blocked.
    std::vector<std::size_t> finish(std::size_t index, StepState outcome);

    [[nodiscard]] bool settled() const { return open_ == 0; }
    [[nodiscard]] StepState state(std::size_t index) const { return nodes_[index].state; }
    // "needs python, which failed"; empty unless blocked.
    [[nodiscard]] const std::string& blocked_by(std::size_t index) const {
        return nodes_[index].blocked_by;
    }

private:
    struct Node {
        std::string id;
        std::vector<std::size_t> dependents;
        std::size_t unmet = 0;
        StepState state = StepState::pending;
        std::string blocked_by;
    };
    std::vector<std::size_t> block_dependents(std::size_t index);

    std::vector<Node> nodes_;
    std::vector<std::size_t> ready_;
    std::size_t open_ = 0; // neither finished nor blocked
};

} // namespace agent
