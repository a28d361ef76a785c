// Owns the version that `agent --version` and `bootstrap --version` print.
#pragma once

namespace agent {

[[nodiscard]] const char* version();

} // namespace agent
