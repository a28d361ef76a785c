// Owns `agent url`: where Jupyter is. Reads files only, works for any user.
#pragma once

#include "agent/base/files.hpp"

#include <iosfwd>

namespace agent {

enum class Output { terminal, elsewhere };

// The URL on `out` and exit 0 while Jupyter is open; else one sentence on `errors` and exit 1. On a
// terminal, who may read Jupyter's configuration (root and the machine's user) gets the login link
// with its token as well; nothing else ever gets it.
[[nodiscard]] int
url_command(const Root& root, Output output, std::ostream& out, std::ostream& errors);

} // namespace agent
