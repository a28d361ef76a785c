#include "agent/version.hpp"

namespace agent {

const char* version() {
    return AGENT_VERSION;
}

} // namespace agent
