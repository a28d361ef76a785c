// Owns `agent check FILE…`: says of each file by itself whether it is a valid configuration.
// Needs neither root nor a VM, and changes nothing.
#pragma once

#include "agent/settings.hpp"

#include <filesystem>
#include <iosfwd>
#include <vector>

namespace agent {

struct CheckOptions {
    std::vector<std::filesystem::path> files;
    bool json = false;
    Colours colours = Colours::off;
};
// What is valid goes to `out` with a line of what it would make, every error and warning to `err`;
// with `json` all of it goes to `out`: [{file, valid, diagnostics}].
// The exit code: 0 when all are valid, else 1 (also when a file cannot be read).
[[nodiscard]] int check_command(const CheckOptions& options, std::ostream& out, std::ostream& err);

} // namespace agent
