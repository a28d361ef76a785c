// Owns the drop-in files that fit our units to this machine: UNIT.d/10-machine.conf.
#pragma once

#include "agent/base/files.hpp"

#include <string>
#include <string_view>

namespace agent {

[[nodiscard]] bool drop_in_is(const Root& root, std::string_view unit, std::string_view content);
// Takes effect with the next daemon-reload.
[[nodiscard]] Result<void>
write_drop_in(const Root& root, std::string_view unit, std::string_view content);

} // namespace agent
