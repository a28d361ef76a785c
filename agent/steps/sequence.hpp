// Owns several guarantees as one: each is made when those before it stand, and only where it is
// due.
#pragma once

#include "agent/graph/step.hpp"

#include <memory>
#include <vector>

namespace agent {

class Sequence : public Guarantee {
public:
    explicit Sequence(std::vector<std::unique_ptr<Guarantee>> parts) : parts_{std::move(parts)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    std::vector<std::unique_ptr<Guarantee>> parts_;
};

} // namespace agent
