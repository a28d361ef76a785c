// Owns `agent status`: what the status file says, for people and for programs. Reads files only,
// asks no daemon, works for any user.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/report/status_file.hpp"
#include "agent/settings.hpp"

#include <chrono>
#include <cstddef>
#include <optional>
#include <ostream>
#include <string>

namespace agent {

struct StatusOptions {
    bool json = false;
    bool wait = false; // until the machine has settled
    std::optional<std::chrono::milliseconds> timeout = std::nullopt; // of `wait`; none: for ever
};

// Prints once; quiet until then. Exit status: 0 ready, 1 failed (also: stale, no status, no
// daemon), 2 degraded, 3 in progress (also when `timeout` passed first). Colours only when `out` is
// a terminal's std::cout and NO_COLOR is not set.
[[nodiscard]] int status_command(const StatusOptions& options, const Root& root, std::ostream& out);

struct StatusView {
    static constexpr std::size_t unlimited = static_cast<std::size_t>(-1);
    Colours colours = Colours::off;
    // With it, what to type when the browser does not reach the port.
    std::optional<MachineCard> machine = std::nullopt;
    // Lines at most, as far as steps that are well can be left out for it.
    std::size_t rows = unlimited;
};
// 80 columns; ends in a newline.
[[nodiscard]] std::string
render_status(const StatusReading& reading, WallTime now, const StatusView& view);

// With nothing in it that began before this boot or after `now`, as it seems to have where the
// clock was set since; pure.
[[nodiscard]] StatusReading
within_boot(StatusReading reading, WallTime now, std::chrono::nanoseconds since_boot);

// The same, with who holds the machine up, if anybody does.
[[nodiscard]] std::string
status_text(const Root& root, const StatusReading& reading, WallTime now, const StatusView& view);

// "40 s", "12 min", "3 h 5 min", "2 d 4 h"
[[nodiscard]] std::string in_words(std::chrono::system_clock::duration passed);

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
    // Until its timeout, at most `longest`.
    [[nodiscard]] std::chrono::milliseconds time_left(Monotonic now,
                                                      std::chrono::milliseconds longest) const;

private:
    Monotonic began_;
    std::optional<std::chrono::milliseconds> timeout_;
    std::optional<Monotonic> absent_since_;
};

} // namespace agent
