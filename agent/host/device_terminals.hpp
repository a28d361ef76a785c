// Owns the Terminals of the real world: the devices below /dev/pts, and the consoles at which
// somebody has logged in. Their access time is when input was last read; utmp and logind would have
// to be installed, and know nothing of what is typed.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/terminals.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace agent {

class DeviceTerminals : public Terminals {
public:
    explicit DeviceTerminals(Root root) : root_{std::move(root)} {}
    [[nodiscard]] std::vector<Terminal> open() const override;
    void tell_all(std::string_view text) override;

private:
    Root root_;
};

} // namespace agent
