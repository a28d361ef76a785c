// Owns what is decided about the end of a machine that costs money: when it powers off, who is told
// of it beforehand, and the words for it. Pure: whoever feeds it has looked at the clock, the hold
// and the terminals, and obeys.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"
#include "agent/ports/clock.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace agent {

struct LimitRules {
    bool stops_on_failure = false;
    std::chrono::seconds grace{std::chrono::minutes{10}}; // of a failed machine
    std::optional<std::chrono::seconds> lifetime = {};    // of a boot
};

enum class StopCause { failure, lifetime };

// The machine's end as it is in sight now.
struct PlannedStop {
    enum class Fate {
        powers_off,
        held,       // and powers off when the hold ends
        stays,      // an instance group would replace it
        powered_off // systemd has been asked to
    };
    StopCause cause = StopCause::failure;
    Fate fate = Fate::powers_off;
    WallTime shown;    // when, for people
    std::string group; // of stays
    friend bool operator==(const PlannedStop&, const PlannedStop&) = default;
};

struct LimitsSeen {
    using Time = std::chrono::milliseconds; // since the boot
    Time now{0};
    WallTime wall;
    Time booted{0}; // more than 0 where the boot is a container's
    LimitRules rules = {};
    std::optional<Time> failed_since = {}; // for good: nothing is tried any more
    std::optional<Time> held_until = {};
    std::optional<Time> typed = {}; // the last input at a terminal
    std::string group = {};         // the managed instance group that the machine belongs to
};

enum class LimitAction { nothing, warn, power_off };

class LimitPolicy {
public:
    using Time = LimitsSeen::Time;
    // Nobody is surprised: between the first word of a stop and the stop lies as much.
    static constexpr std::chrono::minutes last_warning{1};
    static constexpr std::chrono::minutes first_warning{10};
    // From then on the world off the machine hears of the end of its lifetime.
    static constexpr std::chrono::minutes foresight{30};
    static constexpr std::chrono::seconds longest_interval{60};
    // How often terminals are looked at while it matters.
    static constexpr std::chrono::seconds failure_interval{15};

    [[nodiscard]] LimitAction observe(const LimitsSeen& seen);

    // What `agent status` shows.
    [[nodiscard]] const std::optional<PlannedStop>& planned() const { return planned_; }
    // Whether it is near enough for the summary and the guest attributes.
    [[nodiscard]] bool is_near() const { return near_; }
    // When the next observation is due if nothing happens before; nullopt: never.
    [[nodiscard]] std::optional<Time> next_look() const { return next_look_; }

private:
    struct Due {
        StopCause cause = StopCause::failure;
        Time at{0};
        bool held = false;
    };
    [[nodiscard]] std::optional<Due> first_due(const LimitsSeen& seen);
    [[nodiscard]] std::optional<Time> failure_due(const LimitsSeen& seen);
    void forget();

    // How near the end is, in steps that are each warned of once.
    enum class Nearness { far, known, near, last };
    [[nodiscard]] static Nearness nearness(StopCause cause, Time left);

    std::optional<PlannedStop> planned_;
    bool near_ = false;
    std::optional<Time> next_look_;
    std::optional<Due> due_; // as it was found last
    Time not_before_{0};     // the notice that was promised
    Nearness warned_ = Nearness::far;
    std::optional<Time> failed_since_; // that failure_at_ goes with
    Time failure_at_{0};
};

// "powers off at 12:10 UTC unless held": for the summary.
[[nodiscard]] std::string in_brief(const PlannedStop& stop, WallTime now);
// The same with what to do: for problem.next and `agent status`.
[[nodiscard]] std::string with_remedy(const PlannedStop& stop, WallTime now);
// For everybody who sits at a terminal; `reason` is one sentence.
[[nodiscard]] std::string warning_of(const PlannedStop& stop,
                                     const LimitRules& rules,
                                     const std::string& reason,
                                     WallTime now);

[[nodiscard]] Value to_value(const PlannedStop& stop);
[[nodiscard]] Result<PlannedStop> planned_stop_from(const Value& value);

// The group's name in what the attribute created-by says; empty: no managed instance group.
[[nodiscard]] std::string managed_group(const std::string& created_by);

} // namespace agent
