// Owns the state: agent-jupyter.service runs Jupyter, as the machine's user, on the configuration
// that is in place.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>
#include <string>

namespace agent {

class JupyterUnit : public Guarantee {
public:
    JupyterUnit(StepPorts ports, std::string user, std::filesystem::path program)
        : ports_{std::move(ports)}, user_{std::move(user)}, program_{std::move(program)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    // What the service says of itself once Jupyter answers on this configuration.
    [[nodiscard]] Result<std::string> serving() const;
    boost::asio::awaitable<Result<void>> wait_until_serving(StepContext& context,
                                                            std::string serving);

    StepPorts ports_;
    std::string user_;
    std::filesystem::path program_; // …/bin/jupyter-lab
};

} // namespace agent
