// Port: what a service tells systemd about itself (sd_notify(3)).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

class ServiceNotifier {
public:
    virtual ~ServiceNotifier() = default;
    virtual void ready() = 0;                       // READY=1
    virtual void status(std::string_view text) = 0; // STATUS=…
    virtual void stopping() = 0;                    // STOPPING=1
    virtual void alive() = 0;                       // WATCHDOG=1
    // WATCHDOG_USEC, when systemd watches this process.
    [[nodiscard]] virtual std::optional<std::chrono::microseconds> watchdog() const = 0;
};

} // namespace agent
