#include "agent/supervise/terminal_watch.hpp"

#include <algorithm>
#include <utility>

namespace agent {

std::optional<std::chrono::milliseconds> TerminalWatch::observe(
    const std::vector<Terminal>& terminals, Now now, std::chrono::seconds memory) {
    using std::chrono::milliseconds;
    std::map<std::string, WallTime> seen;
    for (const Terminal& terminal : terminals) {
        seen[terminal.line] = terminal.last_input;
        const auto known = inputs_.find(terminal.line);
        std::optional<milliseconds> typed;
        if (known != inputs_.end()) {
            if (known->second != terminal.last_input)
                typed = now.since_boot;
        } else {
            const auto ago = std::chrono::floor<milliseconds>(now.wall - terminal.last_input);
            if (ago >= milliseconds{0} && ago < memory)
                typed = now.since_boot - ago;
        }
        if (typed)
            last_ = std::max(last_.value_or(*typed), *typed);
    }
    inputs_ = std::move(seen);
    return last_;
}

} // namespace agent
