#include "agent/version.hpp"

namespace agent {

const char* version() {
    return AGENT_VERSION;
}

int build_year() {
    return AGENT_BUILD_YEAR;
}

} // namespace agent
