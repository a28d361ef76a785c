// Owns what the VM says of itself in guest attributes: agent/report (first), agent/summary,
// agent/state (last, and only when it changed), within Google's limit for all programs of the VM
// together. Source: 10 writes a minute a VM, burst 3 a second (Google's documentation); we take at
// most 6 a minute, and 4 in the first minute of a boot: the boot before it may have taken 6.
#pragma once

#include "agent/ports/clock.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/report/status.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace agent {

// Decides which PUT is due when; pure. Intermediate reports are coalesced: only the newest is kept.
// The newest state is always delivered in the end, after one report that knows of it, however often
// that changes meanwhile. The summary comes between them when the machine has settled and there is
// room for it, else when there is room: a boot's starting, provisioning and ready are six writes,
// and a `ready` that waits for a minute's end would be a minute lost to whoever waits for it. A
// state to stay in may use the whole budget; `provisioning` and mere progress leave room for the
// two writes of the next one.
class GuestAttributeSchedule {
public:
    struct Put {
        std::string key;
        std::string value;
        unsigned round = 0; // which of the offered states it knows of
    };
    static constexpr unsigned writes_a_minute = 6;
    static constexpr unsigned kept_for_a_state = 2;
    static constexpr unsigned lent_to_the_boot_before = 2;
    static constexpr std::chrono::milliseconds gap{500}; // between two writes, below Google's burst

    // Writes that count though this did not name them, oldest first.
    void count(const std::vector<Monotonic>& earlier);
    // The newest status to be told. Another state than that of the last offer ends the waiting
    // after failures, and tries again what was disabled.
    void offer(const Status& status);
    // The next write, if one is due at `now`.
    [[nodiscard]] std::optional<Put> next(Monotonic now) const;
    // When next() will give something, not before `now`; nullopt: nothing is left to tell.
    [[nodiscard]] std::optional<Monotonic> wake(Monotonic now) const;
    // What came of the write that next() named; `now` is after the answer.
    void done(const Put& put, GuestWrite outcome, Monotonic now);
    // Those that still count or have just ceased to, oldest first.
    [[nodiscard]] std::vector<Monotonic> writes() const { return {writes_.begin(), writes_.end()}; }
    // The last answer was 403, so nothing is tried before another state is offered: for status to
    // say, with the remedy.
    [[nodiscard]] bool disabled() const { return disabled_; }

private:
    [[nodiscard]] bool differs(const std::string& key) const;
    [[nodiscard]] std::optional<std::string> key_due(Monotonic now) const;
    [[nodiscard]] std::size_t room(Monotonic now) const; // writes left in this minute

    std::map<std::string, std::string> wanted_;
    std::map<std::string, std::string> told_;
    std::set<std::string> told_of_state_; // written since the newest state was offered
    std::deque<Monotonic> writes_;        // of the last minute, whatever came of them
    std::optional<Monotonic> not_before_;
    bool settled_ = false; // the newest state is one to stay in
    unsigned round_ = 0;   // counts the offers of another state
    unsigned failures_ = 0;
    bool disabled_ = false;
    bool may_try_ = true; // when disabled
};

} // namespace agent
