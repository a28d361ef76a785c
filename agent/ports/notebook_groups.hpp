// Owns which of its user's groups a notebook gives up, so that the step that fits the unit and the
// service that obeys agree. A new account of Google's guest agent is in adm, docker, google-sudoers
// and lxd where these exist (guest agent's default `groups`).
#pragma once

#include "agent/ports/command.hpp"

#include <vector>

#include <sys/types.h>

namespace agent {

// Asks what these groups are called.
[[nodiscard]] Command name_groups(const std::vector<gid_t>& groups);

// Those of `groups` that are as good as root's rights or open the machine's logs: every system
// group, unless it only stands for a harmless device, and the well-known ones whatever their
// number. `primary` is the user's own and stays; `named` is what came of name_groups().
[[nodiscard]] Result<std::vector<gid_t>>
powerful_groups(const std::vector<gid_t>& groups, gid_t primary, CommandOutcome named);

} // namespace agent
