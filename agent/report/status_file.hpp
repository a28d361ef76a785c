// Owns /run/agent/status.json: writing it (the daemon) and reading it without asking the daemon
// (everybody). A file left by a dead daemon or by an earlier boot is known as stale.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/report/status.hpp"

#include <optional>
#include <string>

#include <sys/types.h>

namespace agent {

class StatusFile {
public:
    explicit StatusFile(Root root) : root_{std::move(root)} {}
    // Replaces the file atomically (0644) when the content differs from what was last written.
    Result<void> write(const Status& status);

private:
    Root root_;
    std::string written_;
};

struct StatusReading {
    std::optional<Status> status; // as it was written, stale or not
    bool stale = true;            // also when there is no status at all
    std::string why;              // why it is stale or missing: one sentence without its full stop
    pid_t daemon = 0;             // who holds the daemon's lock; 0: nobody
};

// For any user; never by the daemon itself (base/lock.hpp).
[[nodiscard]] StatusReading read_status(const Root& root, const std::string& boot_id);

// What whoever waits for the machine exits with: 0 ready, 1 failed (also: stale, no status), 2
// degraded, 3 in progress.
[[nodiscard]] int exit_status(const StatusReading& reading);

// The kernel's id of this boot; empty where there is none.
[[nodiscard]] std::string current_boot_id(const Root& root);

} // namespace agent
