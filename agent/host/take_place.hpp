// Owns the end of this program in favour of another: identity, signals, directory, exec.
#pragma once

#include "agent/ports/session.hpp"

namespace agent {

// Does not return when it succeeds; else the errno of what failed: ENOENT when there is no such
// program. This process may have the session's identity by then.
[[nodiscard]] int take_place(const Session& session);

} // namespace agent
