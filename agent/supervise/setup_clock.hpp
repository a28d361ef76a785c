// Owns how long the setup in hand has run: that of one configuration, within one boot. Pure:
// whoever asks has looked at the clock, as time since the boot, which nobody sets. What it holds
// outlives the daemon.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace agent {

class SetupClock {
public:
    using Time = std::chrono::milliseconds; // since the boot

    enum class Begin {
        going_on, // the setup of this configuration, should there be one, goes on
        anew,     // a person asked for it
    };
    // A setup begins, and the clock runs. Whether it is a new one, which has run for no time yet.
    bool begin(Time now, const std::string& configuration, Begin how);
    // The clock stands: nothing is being done.
    void stand(Time now);
    void go_on(Time now);
    // The machine is set up: what begins next is another setup.
    void end();

    [[nodiscard]] Time ran(Time now) const;

    [[nodiscard]] Value to_value() const;
    [[nodiscard]] static Result<SetupClock> from_value(const Value& value);

private:
    std::string configuration_; // empty: no setup is in hand
    Time ran_{0};
    std::optional<Time> running_since_;
};

} // namespace agent
