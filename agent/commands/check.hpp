// Owns `agent check FILE…`: says of each file by itself whether it is a valid configuration.
// Needs neither root nor a VM, and changes nothing.
#pragma once

#include "agent/settings.hpp"

#include <filesystem>
#include <iosfwd>
#include <vector>

namespace agent {

// What is valid goes to `out` with a line of what it would make, every error to `err`.
// The exit code: 0 when all are valid, else 1 (also when a file cannot be read).
[[nodiscard]] int check_command(const std::vector<std::filesystem::path>& files,
                                std::ostream& out,
                                std::ostream& err,
                                Colours colours);

} // namespace agent
