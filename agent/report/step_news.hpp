// Owns what is said of the steps line by line: what has changed between the statuses it is shown.
// For consoles, logs and pipes; each line is bounded and without control characters.
#pragma once

#include "agent/report/status.hpp"

#include <map>
#include <string>
#include <vector>

namespace agent {

class StepNews {
public:
    enum class Telling {
        every_change, // what begins, and what was so already
        ends,         // one line a step: what was done, what failed, whom it waits for
    };
    explicit StepNews(Telling telling) : telling_{telling} {}
    // "apt_packages: applied in 11.4 s"; in the order of the steps.
    [[nodiscard]] std::vector<std::string> lines(const Status& status);

private:
    [[nodiscard]] bool is_told(const std::string& state) const;

    Telling telling_;
    std::map<std::string, std::string> last_; // id → state
};

} // namespace agent
