// Owns the state: an environment beside Jupyter's own is offered in Jupyter as a kernel. What lies
// under the kernel's name and starts something else is the user's, and stays.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>
#include <string>

namespace agent {

class Kernel : public Guarantee {
public:
    struct Wish {
        std::string user;
        std::string name;
        std::filesystem::path prefix;         // of the environment, which has ipykernel
        std::filesystem::path jupyter_prefix; // where Jupyter looks for kernels
    };
    Kernel(StepPorts ports, Wish wish) : ports_{std::move(ports)}, wish_{std::move(wish)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    [[nodiscard]] std::string python() const { return (wish_.prefix / "bin/python").string(); }

    StepPorts ports_;
    Wish wish_;
};

} // namespace agent
