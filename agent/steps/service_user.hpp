// Owns the state: the user that Jupyter runs as exists, with a home. An existing one is left as it
// is.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

namespace agent {

class ServiceUser : public Guarantee {
public:
    ServiceUser(StepPorts ports, std::string name)
        : ports_{std::move(ports)}, name_{std::move(name)} {}
    [[nodiscard]] std::string fingerprint() const override { return name_; }
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    StepPorts ports_;
    std::string name_;
};

} // namespace agent
