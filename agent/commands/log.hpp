// Owns `agent log`: what the steps said, this boot or earlier.
#pragma once

#include "agent/base/files.hpp"

#include <chrono>
#include <functional>
#include <iosfwd>
#include <string>

namespace agent {

struct LogOptions {
    std::string step; // empty: all, merged by time
    bool follow = false;
};

// Following goes on until `out` fails, or `pause` (called between two looks) says false; as a
// command, until it is interrupted. The exit code: 0; 64 when there is no log of that step; 77 when
// the logs may not be read; 1 when they cannot. Then a sentence on `err`.
[[nodiscard]] int log_command(const LogOptions& options,
                              const Root& root,
                              const std::function<bool()>& pause,
                              std::ostream& out,
                              std::ostream& err);

// Waits a moment; true.
[[nodiscard]] bool pause_between_looks();

} // namespace agent
