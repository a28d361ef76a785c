// Owns what the serial console is told: one line a step that did something or could not, then one
// line of how the machine stands and where Jupyter is. A boot that finds everything in place is one
// line.
#pragma once

#include "agent/base/files.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/report/status.hpp"
#include "agent/report/step_news.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace agent {

// The lines, without their ends: printable ASCII, at most 120 characters, none told twice. Pure.
class ConsoleNews {
public:
    static constexpr std::size_t longest_line = 120;
    [[nodiscard]] std::vector<std::string> lines(const Status& status);

private:
    StepNews steps_{StepNews::Telling::ends};
    std::string last_word_;
};

// Writes them to /dev/console. Never waits: a console that is missing, full or hung up loses lines
// and stops nothing.
class Console {
public:
    explicit Console(Root root) : root_{std::move(root)} {}
    void tell(const Status& status);

private:
    void write(std::string_view text);

    Root root_;
    ConsoleNews news_;
    // Kept open: the last close of a serial line waits until everything has left it.
    UniqueFd fd_;
};

} // namespace agent
