// Owns the word for how far the machine's port reaches.
#pragma once

namespace agent {

enum class Reach {
    everywhere,
    this_machine, // 127.0.0.1 alone: there is no password
};

} // namespace agent
