// Owns how a boot went, as one value: when each step began, how long it took, what it waited for,
// and which steps made the boot as long as it was. From events alone; pure.
#pragma once

#include "agent/report/timeline_events.hpp"

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace agent {

// All times are seconds since the boot.
struct Timeline {
    enum class Doing { working, trying_again, held_up, person };
    struct Stretch {
        double from = 0;
        double to = 0;
        Doing doing = Doing::working;
    };
    struct Row {
        std::string id;
        std::vector<std::string> needs;
        std::string state; // of the contract; also `interrupted`: it was not seen to end
        std::vector<Stretch> stretches; // in order; none: it never began
        std::string after;              // of its needs the one that ended last
        bool critical = false;          // on the way that made the boot as long as it was
        unsigned retries = 0;
        std::vector<std::string> notes; // what held it up, why it failed; no sentence twice

        [[nodiscard]] bool began() const { return !stretches.empty(); }
        [[nodiscard]] bool is_well() const;
        [[nodiscard]] double start() const { return began() ? stretches.front().from : 0; }
        [[nodiscard]] double end() const { return began() ? stretches.back().to : 0; }
        [[nodiscard]] double took() const; // without what lies between two runs
    };
    std::string boot_id;
    std::optional<std::chrono::system_clock::time_point> booted;
    std::string machine;     // its state, as last told
    bool going_on = false;   // something is still under way
    double agent_began = 0;  // the daemon, for the first time
    double run_began = 0;    // the first step could; the agent knew what to do
    double end = 0;          // of what is shown
    unsigned later_runs = 0; // after the machine was ready: not shown
    bool has_jupyter = false;
    std::optional<double> jupyter;    // reachable
    std::optional<double> everything; // every step ended well
    std::vector<Row> rows;            // in the order in which they began; then those that never did
};

// `now`: something may be under way still. Nothing of the boot's first run to `ready` is left out;
// nullopt when no run was told of.
[[nodiscard]] std::optional<Timeline> make_timeline(std::span<const TimelineEvent> events,
                                                    std::optional<double> now = {});

} // namespace agent
