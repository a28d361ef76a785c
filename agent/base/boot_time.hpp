// Owns the time since the machine booted: CLOCK_BOOTTIME, which no change of the wall clock moves,
// which goes on while the machine is suspended, and which all processes of a boot share.
#pragma once

#include <chrono>

namespace agent {

[[nodiscard]] std::chrono::nanoseconds since_boot();

} // namespace agent
