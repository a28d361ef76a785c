// Owns the state: agent-jupyter.service runs Jupyter, as the machine's user, on the configuration
// that is in place, and notebooks can do no more than is asked for, nor take all of the memory.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>
#include <map>
#include <string>

namespace agent {

// Whether a user who may use sudo or docker may do so in a notebook.
enum class Sudo { kept_out, allowed };

class JupyterUnit : public Guarantee {
public:
    using Environment = std::map<std::string, std::string>;
    // `environment` is for what is fetched from a notebook: it reaches Jupyter and its kernels, and
    // no login of the user's.
    JupyterUnit(StepPorts ports,
                std::string user,
                std::filesystem::path program,
                Environment environment = {},
                Sudo sudo = Sudo::kept_out)
        : ports_{std::move(ports)}, user_{std::move(user)}, program_{std::move(program)},
          environment_{std::move(environment)}, sudo_{sudo} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    // The unit's drop-in as it must be now.
    boost::asio::awaitable<Result<std::string>> drop_in(StepContext& context) const;
    // Of the configuration that is in place now.
    [[nodiscard]] Result<std::string> config_id() const;
    // Until it is worth asking systemd again, which costs a process: Jupyter takes seconds to
    // start, and its socket is there when it is nearly done.
    boost::asio::awaitable<void> pause();
    boost::asio::awaitable<Result<void>> wait_until_serving(StepContext& context,
                                                            std::string serving);

    StepPorts ports_;
    std::string user_;
    std::filesystem::path program_; // …/bin/jupyter-lab
    Environment environment_;
    Sudo sudo_;
};

} // namespace agent
