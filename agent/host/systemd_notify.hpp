// Owns the words to systemd: sd_notify(3)'s datagrams, without libsystemd. Does nothing when the
// process was not started by systemd.
#pragma once

#include "agent/base/unique_fd.hpp"
#include "agent/ports/notify.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

class SystemdNotifier final : public ServiceNotifier {
public:
    // Takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child
    // speaks in our name. LISTEN_* are left to whoever takes the sockets. Call before other
    // threads.
    SystemdNotifier();

    void ready() override;
    void status(std::string_view text) override; // of several lines the first
    void stopping() override;
    void alive() override;
    [[nodiscard]] std::optional<std::chrono::microseconds> watchdog() const override {
        return watchdog_;
    }

private:
    void send(const std::string& message) const;

    UniqueFd socket_;
    std::string address_; // of NOTIFY_SOCKET; '@' in front: the abstract namespace
    std::optional<std::chrono::microseconds> watchdog_;
};

} // namespace agent
