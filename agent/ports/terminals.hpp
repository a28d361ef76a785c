// Port: the terminals at which people sit, here or over ssh.
#pragma once

#include "agent/ports/clock.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace agent {

struct Terminal {
    std::string line;    // "pts/0", "ttyS0"
    WallTime last_input; // when something typed was last read, within some seconds
};

class Terminals {
public:
    virtual ~Terminals() = default;
    // Those of now; never waits.
    [[nodiscard]] virtual std::vector<Terminal> open() const = 0;
    // Writes the text to each of them, as wall(1) does; one that cannot take it at once misses it.
    virtual void tell_all(std::string_view text) = 0;
};

} // namespace agent
