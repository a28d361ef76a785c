// Owns the time since the machine booted: CLOCK_BOOTTIME, which no change of the wall clock moves,
// which goes on while the machine is suspended, and which all processes of a boot share.
#pragma once

#include "agent/base/files.hpp"

#include <chrono>

namespace agent {

[[nodiscard]] std::chrono::nanoseconds since_boot();

// When this boot's first process started, as time since the boot: next to nothing on a VM, and a
// container's own boot in a container. 0 when it is not told.
[[nodiscard]] std::chrono::nanoseconds first_process_started(const Root& root);

} // namespace agent
