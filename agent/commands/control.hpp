// Owns `agent retry`, `agent hold` and `agent release`: one question to the running daemon, and its
// answer for people.
#pragma once

#include "agent/ports/control.hpp"

#include <iosfwd>

namespace agent {

// Returns once the daemon has accepted, not once it is done. The exit code: 0 accepted, 77 not
// allowed, 64 not understood or no such step, 1 not possible or no daemon; then one sentence on
// `err`.
[[nodiscard]] int control_command(const ControlRequest& request,
                                  ControlClient& client,
                                  std::ostream& out,
                                  std::ostream& err);

} // namespace agent
