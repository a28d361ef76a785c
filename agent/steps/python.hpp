// Owns the state: a Python environment (venv on the system's Python) stands at the prefix, with
// pip, and belongs to the machine's user. Half-made ones of ours are made again in place.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>

namespace agent {

class PythonVenv : public Guarantee {
public:
    PythonVenv(StepPorts ports, std::string user, std::filesystem::path prefix)
        : ports_{std::move(ports)}, user_{std::move(user)}, prefix_{std::move(prefix)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    // Beside the prefix and root's own: only what we made is ever cleared.
    [[nodiscard]] std::filesystem::path marker() const;
    [[nodiscard]] Result<void> claim_prefix(const Account& owner) const;

    StepPorts ports_;
    std::string user_;
    std::filesystem::path prefix_;
};

} // namespace agent
