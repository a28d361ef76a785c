// Owns what a machine must be like before anything is installed on it.
#pragma once

#include "agent/base/error.hpp"

#include <string_view>

namespace agent {

// Older ones lack LoadCredential= (systemd 247: Debian 11, Ubuntu 22.04).
inline constexpr unsigned oldest_systemd = 247;

// By the answer of `systemctl --version`, which is empty where there is no systemctl.
// Misconfigured, with what to use instead, when this machine has no systemd that is new enough.
[[nodiscard]] Result<void> require_systemd(std::string_view version_answer);

} // namespace agent
