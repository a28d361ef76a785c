// Owns the state: the user that Jupyter runs as exists, with a home of his own. An existing account
// is left as it is; a home that is missing (OS Login makes one at the first login) is made as that
// login would make it. What useradd was cut short in is completed.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"
#include "agent/steps/work_mark.hpp"

#include <optional>
#include <string>

namespace agent {

class ServiceUser : public Guarantee {
public:
    ServiceUser(StepPorts ports, std::string name)
        : ports_{std::move(ports)}, name_{std::move(name)},
          work_{ports_.root / ("/var/lib/agent/making-user-" + name_)} {}
    [[nodiscard]] std::string fingerprint() const override { return name_; }
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    enum class Home { there, missing, of_root };

    // Asks a program of its own: what is mounted there may hang.
    boost::asio::awaitable<Result<Home>> look_at_home(StepContext& context, Account user);
    // Takes an account away whose making was cut short before all of its entries were written.
    boost::asio::awaitable<Result<void>> remove_half_made(StepContext& context,
                                                          std::optional<Account>& account);
    boost::asio::awaitable<Result<void>> make_user(StepContext& context);
    // A group of that name may become the user's, unless it is one of the system's.
    boost::asio::awaitable<Result<void>> may_join_group(StepContext& context);
    boost::asio::awaitable<Result<void>> make_home(StepContext& context, std::string home);
    // Gives a home that was cut short in its making to the user, and what /etc/skel has for it.
    boost::asio::awaitable<Result<void>>
    complete_home(StepContext& context, Account user, Home found);

    StepPorts ports_;
    std::string name_;
    WorkMark work_;
};

} // namespace agent
