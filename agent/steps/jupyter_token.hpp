// Owns the state: this instance has a token of its own, by which its own processes come into
// Jupyter. On a new instance it is another one, and whoever was logged in on the old is not here.
#pragma once

#include "agent/base/secret.hpp"
#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <optional>
#include <string>

namespace agent {

class JupyterToken : public Guarantee {
public:
    explicit JupyterToken(StepPorts ports) : ports_{std::move(ports)} {}
    [[nodiscard]] std::string fingerprint() const override { return "token"; }
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    StepPorts ports_;
};

// nullopt when there is none (yet).
[[nodiscard]] std::optional<Secret> current_token(const Root& root);

} // namespace agent
