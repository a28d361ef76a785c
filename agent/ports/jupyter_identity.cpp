#include "agent/ports/jupyter_identity.hpp"

#include "agent/ports/crypto.hpp"

namespace agent {

std::string jupyter_config_id(std::string_view content, const std::filesystem::path& program) {
    return sha256_hex(std::string{content} + "\n" + program.string()).substr(0, 12);
}

std::string jupyter_serving_status(std::string_view config_id) {
    return "serving " + std::string{config_id};
}

} // namespace agent
