// Owns the ServiceManager of the real world: systemctl.
#pragma once

#include "agent/ports/command.hpp"
#include "agent/ports/services.hpp"

#include <vector>

namespace agent {

class SystemdServices : public ServiceManager {
public:
    explicit SystemdServices(CommandRunner& commands) : commands_{commands} {}
    boost::asio::awaitable<Result<UnitState>> state(std::string unit) override;
    boost::asio::awaitable<Result<std::vector<UnitState>>>
    states(std::vector<std::string> units) override;
    boost::asio::awaitable<Result<void>> start(std::string unit) override;
    boost::asio::awaitable<Result<void>> restart(std::string unit) override;
    boost::asio::awaitable<Result<void>> stop(std::string unit) override;
    boost::asio::awaitable<Result<void>> reload_definitions() override;
    boost::asio::awaitable<Result<void>> power_off() override;

private:
    boost::asio::awaitable<Result<void>> systemctl(std::vector<std::string> arguments,
                                                   ErrorKind on_failure = ErrorKind::permanent);

    CommandRunner& commands_;
};

} // namespace agent
