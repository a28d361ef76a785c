// Owns the question when somebody last typed at a terminal. Pure. What terminals tell is wall time,
// which may jump: only of one that is seen for the first time it counts how long ago that was;
// later whether it has changed.
#pragma once

#include "agent/ports/terminals.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace agent {

class TerminalWatch {
public:
    struct Now {
        std::chrono::milliseconds since_boot{0};
        WallTime wall;
    };
    // The last input at any terminal, as time since the boot; nullopt: none that is known of. What
    // lies further back than `memory` at first sight is not looked into.
    std::optional<std::chrono::milliseconds>
    observe(const std::vector<Terminal>& terminals, Now now, std::chrono::seconds memory);

private:
    std::map<std::string, WallTime> inputs_; // by line
    std::optional<std::chrono::milliseconds> last_;
};

} // namespace agent
