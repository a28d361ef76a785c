// Port: the groups that this process itself is in.
#pragma once

#include "agent/base/error.hpp"

#include <vector>

#include <sys/types.h>

namespace agent {

class OwnGroups {
public:
    virtual ~OwnGroups() = default;
    [[nodiscard]] virtual gid_t primary() const = 0;
    // Beside the primary one, which may be among them.
    [[nodiscard]] virtual Result<std::vector<gid_t>> supplementary() const = 0;
    // Leaves these groups, and gives up every capability: there is no way back. Fails
    // (misconfigured) where the unit does not allow it.
    virtual Result<void> leave(const std::vector<gid_t>& groups) = 0;
};

} // namespace agent
