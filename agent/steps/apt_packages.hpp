// Owns the state: Debian packages are installed. An unpinned package accepts any version; nothing
// is ever removed, and nothing downgraded but to a pin that somebody asks for (Pins).
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/apt.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/pins.hpp"
#include "agent/steps/step_ports.hpp"

#include <string>
#include <vector>

namespace agent {

class AptPackages : public Guarantee {
public:
    // Each "name" or "name=version".
    AptPackages(StepPorts ports, std::vector<std::string> packages, Network network = {});
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    StepPorts ports_;
    std::vector<std::string> packages_;
    Network network_;
    Pins pins_;
    Downgrades downgrades_ = Downgrades::refused;
};

} // namespace agent
