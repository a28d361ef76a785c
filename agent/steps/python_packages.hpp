// Owns the state: the Python packages that the configuration asks for are in the environment. One
// resolution for all, through uv; through pip, with a plain word why, where uv cannot be had. What
// the user installed himself is never removed, nor changed unless he asks (Pins).
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/pins.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace agent {

class PythonPackages : public Guarantee {
public:
    struct Wish {
        std::string user;
        std::filesystem::path prefix;
        std::vector<std::string> requirements;
        std::string index_url; // empty: as pip is configured on the machine
        Network network = {};
    };
    PythonPackages(StepPorts ports, Wish wish) : ports_{std::move(ports)}, wish_{std::move(wish)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    boost::asio::awaitable<Result<Command>> uv_command(StepContext& context, Account user);
    [[nodiscard]] Command pip_command(Account user) const;
    [[nodiscard]] std::filesystem::path requirements_file() const;

    StepPorts ports_;
    Wish wish_;
    Pins pins_;
};

// An installer's failure as an Error: an unknown package or a conflict is permanent and in the
// resolver's own words, the network is transient.
[[nodiscard]] Error installer_error(const CommandOutcome& outcome);

} // namespace agent
