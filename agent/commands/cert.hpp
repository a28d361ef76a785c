// Owns `agent cert`: what identifies the certificate that the machine's port shows. Reads a public
// file only, works for any user.
#pragma once

#include "agent/base/files.hpp"

#include <iosfwd>

namespace agent {

// Its SHA-256 as browsers show it, as hex, its names and its time on `out`, exit 0; one sentence on
// `errors` and exit 1 when there is none.
[[nodiscard]] int cert_command(const Root& root, std::ostream& out, std::ostream& errors);

} // namespace agent
