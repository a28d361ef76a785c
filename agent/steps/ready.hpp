// Owns the state: Jupyter answers through the front, with our certificate, refuses who has no token
// and answers who has it. The three-part probe runs in a worker, not as root.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <cstdint>

namespace agent {

class Ready : public Guarantee {
public:
    Ready(StepPorts ports, std::uint16_t port) : ports_{std::move(ports)}, port_{port} {}
    [[nodiscard]] std::string fingerprint() const override { return std::to_string(port_); }
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    // Until it is answered, found to be open, or `until` has passed.
    boost::asio::awaitable<Result<void>> probe_until(StepContext& context, Monotonic until);

    StepPorts ports_;
    std::uint16_t port_;
};

// Of which of its parts a probe consists.
enum class ProbeDepth { whole, proven };

// One probe through the front, as `nobody`; the Error says which part failed.
[[nodiscard]] boost::asio::awaitable<Result<void>>
probe_through_front(CommandRunner& commands, StepPorts ports, std::uint16_t port, ProbeDepth depth);

} // namespace agent
