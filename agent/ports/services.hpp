// Port: systemd's units.
#pragma once

#include "agent/base/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>
#include <vector>

namespace agent {

struct UnitState {
    std::string active;      // active, activating, inactive, failed …
    std::string sub;         // running, listening, auto-restart …
    std::string status_text; // what the service last said in sd_notify STATUS=
    std::string result;      // success, exit-code, timeout …
    unsigned restarts = 0;
    bool needs_reload = false; // its files changed since systemd read them
    [[nodiscard]] bool is_active() const { return active == "active"; }
};

class ServiceManager {
public:
    virtual ~ServiceManager() = default;
    virtual boost::asio::awaitable<Result<UnitState>> state(std::string unit) = 0;
    // Of several units with one question, in their order.
    virtual boost::asio::awaitable<Result<std::vector<UnitState>>>
    states(std::vector<std::string> units) = 0;
    // Queue the job and return: never waits for the unit (--no-block).
    virtual boost::asio::awaitable<Result<void>> start(std::string unit) = 0;
    virtual boost::asio::awaitable<Result<void>> restart(std::string unit) = 0;
    virtual boost::asio::awaitable<Result<void>> stop(std::string unit) = 0;
    virtual boost::asio::awaitable<Result<void>> reload_definitions() = 0;
    // Begins the shutdown of the machine and returns; nothing that inhibits it is asked.
    virtual boost::asio::awaitable<Result<void>> power_off() = 0;
};

} // namespace agent
