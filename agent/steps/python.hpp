// Owns the state: a Python environment (venv on the system's Python) stands at the prefix, with
// pip, and belongs to the machine's user. Half-made ones of ours are made again in place.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/prefix.hpp"
#include "agent/steps/step_ports.hpp"
#include "agent/steps/work_mark.hpp"

#include <filesystem>

namespace agent {

struct Environment;

class PythonVenv : public Guarantee {
public:
    // `version` is one of the system's, "3.12"; empty: what the system calls python3.
    PythonVenv(StepPorts ports,
               std::string user,
               std::filesystem::path prefix,
               std::string version = {})
        : ports_{std::move(ports)}, user_{std::move(user)}, prefix_{std::move(prefix)},
          version_{std::move(version)}, claim_{ports_.root, prefix_},
          work_{WorkMark::beside(ports_.root, prefix_, "python")} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    // Whether the environment was made with another Python than the one that is asked for.
    [[nodiscard]] bool is_of_another(const Environment& environment) const;

    StepPorts ports_;
    std::string user_;
    std::filesystem::path prefix_;
    std::string version_;
    Prefix claim_;
    WorkMark work_;
};

} // namespace agent
