// Owns the state: the shells of the machine's user know conda: bash, and zsh or fish where he uses
// one, interactive and login, and bash for a command over ssh. A shell that he has set up for a
// conda of his own stays as it is.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace agent {

class ShellSetup : public Guarantee {
public:
    ShellSetup(StepPorts ports, std::string user, std::filesystem::path prefix)
        : ports_{std::move(ports)}, user_{std::move(user)}, prefix_{std::move(prefix)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    struct Found {
        std::vector<std::string> without; // shells that know no conda
        std::vector<std::string> other;   // shells that know another one
        bool is_complete = false;         // for commands and logins
    };
    boost::asio::awaitable<Result<Found>> look(StepContext& context, Account user) const;
    boost::asio::awaitable<Result<void>>
    run_conda_init(StepContext& context, Account user, std::vector<std::string> shells) const;

    StepPorts ports_;
    std::string user_;
    std::filesystem::path prefix_;
};

} // namespace agent
