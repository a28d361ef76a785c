// Owns the state: systemd holds Jupyter's port and the front answers there with our certificate.
// Without a password the port is held on 127.0.0.1 only.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/ports/reach.hpp"
#include "agent/steps/step_ports.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace agent {

class Front : public Guarantee {
public:
    Front(StepPorts ports, std::string user, std::uint16_t port, Reach reach)
        : ports_{std::move(ports)}, user_{std::move(user)}, port_{port}, reach_{reach} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    [[nodiscard]] std::string socket_drop_in() const;
    // The program that holds the port in systemd's place; empty: none, or nobody can tell.
    boost::asio::awaitable<std::string> holder(StepContext& context) const;
    // Whether the front that runs serves what is in place now, its sessions undisturbed.
    boost::asio::awaitable<Result<bool>> handed_over(StepContext& context);

    StepPorts ports_;
    std::string user_;
    std::uint16_t port_;
    Reach reach_;
};

// Who listens where we want to, of `ss` lines about one port: "python3 (process 812)". systemd
// holds it for us and is nobody.
[[nodiscard]] std::string other_listener(std::string_view ss_answer, Reach reach);

} // namespace agent
