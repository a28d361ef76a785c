// Owns `agent status`: what the status file says, for people and for programs. Reads files only,
// asks no daemon, works for any user.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"
#include "agent/report/status_file.hpp"
#include "agent/settings.hpp"

#include <chrono>
#include <optional>
#include <ostream>
#include <string>

namespace agent {

struct StatusOptions {
    bool json = false;
    bool wait = false; // until the machine has settled
    std::optional<std::chrono::milliseconds> timeout = std::nullopt; // of `wait`; none: for ever
};

// Prints once. Exit status: 0 ready, 1 failed (also: stale, no status, no daemon), 2 degraded, 3 in
// progress (also when `timeout` passed first). Colours only when `out` is a terminal's std::cout
// and NO_COLOR is not set.
[[nodiscard]] int status_command(const StatusOptions& options, const Root& root, std::ostream& out);

// 80 columns; ends in a newline.
[[nodiscard]] std::string
render_status(const StatusReading& reading, WallTime now, Colours colours);

// What `--json` prints: the status, but a stale or missing one as `failed` with the reason as its
// problem and no url, so that no reader takes an old `ready` for a ready machine.
[[nodiscard]] Status trustworthy(const StatusReading& reading);

// When `--wait` ends; pure.
class SettleWatch {
public:
    // A daemon that is being started or restarted is absent for a moment (RestartSec=5s).
    static constexpr std::chrono::seconds absence{10};
    enum class Verdict { wait, settled, gone, late };

    SettleWatch(Monotonic began, std::optional<std::chrono::milliseconds> timeout)
        : began_{began}, timeout_{timeout} {}
    [[nodiscard]] Verdict observe(const StatusReading& reading, Monotonic now);

private:
    Monotonic began_;
    std::optional<std::chrono::milliseconds> timeout_;
    std::optional<Monotonic> absent_since_;
};

} // namespace agent
