// Owns the state: the user that Jupyter runs as exists, with a home of his own. An existing account
// is left as it is; a home that is missing (OS Login makes one at the first login) is made as that
// login would make it.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

namespace agent {

class ServiceUser : public Guarantee {
public:
    ServiceUser(StepPorts ports, std::string name)
        : ports_{std::move(ports)}, name_{std::move(name)} {}
    [[nodiscard]] std::string fingerprint() const override { return name_; }
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    enum class Home { there, missing };

    // Asks a program of its own: what is mounted there may hang.
    boost::asio::awaitable<Result<Home>> look_at_home(StepContext& context, Account user);
    boost::asio::awaitable<Result<void>> make_user(StepContext& context);
    // A group of that name may become the user's, unless it is one of the system's.
    boost::asio::awaitable<Result<void>> may_join_group(StepContext& context);
    boost::asio::awaitable<Result<void>> make_home(StepContext& context, std::string home);

    StepPorts ports_;
    std::string name_;
};

} // namespace agent
