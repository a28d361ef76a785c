// Owns what a boot's timeline is made of: each change of the machine and of its steps, with its
// time since the boot. One line of JSON an event: in /run/agent/timeline, for anybody, of this
// boot; in the journal (base/log.hpp, AGENT_EVENT) of every boot that it keeps.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/files.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

struct TimelineEvent {
    enum class Kind {
        boot,    // a daemon began: `boot_id`, `wall`
        machine, // its state is another: `state`
        run,     // the steps are run: `steps`
        step,    // `step` is in another `state`, or does something else with its time: `doing`
    };
    struct StepNeeds {
        std::string id;
        std::vector<std::string> needs;
        friend bool operator==(const StepNeeds&, const StepNeeds&) = default;
    };
    Kind kind = Kind::step;
    double at = 0; // seconds since the boot
    std::string boot_id = {};
    std::optional<std::chrono::system_clock::time_point> wall = {};
    std::string state = {};
    std::vector<StepNeeds> steps = {};
    std::string step = {};
    std::string doing = {}; // of a running step: working, trying_again, held_up
    std::string why = {};
    friend bool operator==(const TimelineEvent&, const TimelineEvent&) = default;
};

// One line, without its end; what is foreign in it is printable and bounded.
[[nodiscard]] std::string to_line(const TimelineEvent& event);
// nullopt: no event of ours, or one of a version that this one does not know.
[[nodiscard]] std::optional<TimelineEvent> timeline_event(std::string_view line);
[[nodiscard]] std::vector<TimelineEvent> timeline_events(std::string_view lines);

// Writing /run/agent/timeline: 0644, appended to, at most 1 MiB a boot. It goes on where an earlier
// process of this boot was. What cannot be written is left out: it stops nothing.
class TimelineFile {
public:
    static constexpr std::size_t largest = 1024 * 1024;
    explicit TimelineFile(Root root) : root_{std::move(root)} {}
    void append(const std::string& line) const;

private:
    Root root_;
};

// Of this boot, for any user; empty: the agent has not said anything (yet).
[[nodiscard]] Result<std::vector<TimelineEvent>> read_timeline(const Root& root);

// Which changes of a step are news: another state, another way to spend its time, another thing
// that it is held up by. Not each of its phrases.
class TimelineNews {
public:
    [[nodiscard]] bool is_news(const TimelineEvent& step);

private:
    struct Told {
        std::string state;
        std::string doing;
        std::string why; // of what it waits for
        friend bool operator==(const Told&, const Told&) = default;
    };
    std::map<std::string, Told> told_;
};

} // namespace agent
