// Owns what the VM says of itself in guest attributes: agent/report (first), agent/summary, agent/state
// (last, and only when it changed), within Google's limit for all programs of the VM together.
// Source: 10 writes a minute a VM, burst 3 a second (Google's documentation); we take at most 6 a minute.
#pragma once

#include "agent/ports/clock.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/report/status.hpp"

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace agent {

// Decides which PUT is due when; pure. Intermediate reports are coalesced: only the newest is kept.
// The newest state is always delivered in the end; a state change may use the whole budget, a mere
// change of summary or report leaves room (2 writes) for the next state change.
class GuestAttributeSchedule {
public:
    struct Put {
        std::string key;
        std::string value;
    };
    static constexpr unsigned writes_a_minute = 6;

    // The newest status to be told. `at_once`: this is the last word of the process.
    void offer(const Status& status);
    // The next write, if one is due at `now`.
    [[nodiscard]] std::optional<Put> next(Monotonic now) const;
    // When to ask again if next() gave nothing but something is left to tell; nullopt: nothing is left.
    [[nodiscard]] std::optional<Monotonic> wake(Monotonic now) const;
    // What came of the write that next() named.
    void done(const Put& put, GuestWrite outcome, Monotonic now);
    // 403 was seen: nothing more is tried until the next offer() of another state; says so in status.
    [[nodiscard]] bool disabled() const { return disabled_; }

private:
    std::map<std::string, std::string> wanted_;
    std::map<std::string, std::string> told_;
    std::deque<Monotonic> writes_; // of the last minute
    std::optional<Monotonic> not_before_;
    unsigned failures_ = 0;
    bool disabled_ = false;
};

} // namespace agent
