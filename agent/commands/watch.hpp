// Owns `agent status --watch`, and `--wait` on a terminal: the status while it changes. Reads files
// only, asks no daemon, works for any user.
#pragma once

#include "agent/base/files.hpp"
#include "agent/report/status_file.hpp"
#include "agent/report/step_news.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace agent {

struct WatchOptions {
    enum class Until { settled, interrupted } until = Until::interrupted;
    std::optional<std::chrono::milliseconds> timeout = std::nullopt; // of `settled`; none: for ever
};

// On a terminal the status is drawn over itself, seconds and all; what has settled stays there as
// `agent status` prints it. Anything else gets a line a change. Returns when the machine has
// settled or the timeout is over, with the exit status of `agent status`, or 1 when nobody reads
// any more; an interrupt ends the process as it would have without this.
[[nodiscard]] int watch_command(const WatchOptions& options, const Root& root, int output);

// The lines for a reader that is no terminal, each with its time; pure.
class PlainWatch {
public:
    // "12:01:03 apt_packages: applied in 11.4 s", in UTC.
    [[nodiscard]] std::vector<std::string> lines(const StatusReading& reading,
                                                 std::chrono::system_clock::time_point now);

private:
    StepNews steps_{StepNews::Telling::every_change};
    std::string stands_;
};

} // namespace agent
