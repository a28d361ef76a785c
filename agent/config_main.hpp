// Owns the composition of `agent config`: the machine's files and its metadata server in, exit
// status out.
#pragma once

#include "agent/base/error.hpp"
#include "agent/commands/config.hpp"

namespace agent {

// Asks the metadata server once, briefly; without an answer the files alone are shown, and that is
// said. Exit status as config_command(); 77 when not root.
[[nodiscard]] Result<int> config_main(const ConfigOptions& options);

} // namespace agent
