// Owns this process's own credentials: OwnGroups of the real world.
#pragma once

#include "agent/ports/own_groups.hpp"

namespace agent {

class ProcessGroups : public OwnGroups {
public:
    [[nodiscard]] gid_t primary() const override;
    [[nodiscard]] Result<std::vector<gid_t>> supplementary() const override;
    Result<void> leave(const std::vector<gid_t>& groups) override;
};

} // namespace agent
