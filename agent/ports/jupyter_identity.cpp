#include "agent/ports/jupyter_identity.hpp"

#include "agent/ports/crypto.hpp"

namespace agent {
namespace {

constexpr std::string_view starting = "starting Jupyter on configuration ";

} // namespace

std::string jupyter_config_id(std::string_view content, const std::filesystem::path& program) {
    return sha256_hex(std::string{content} + "\n" + program.string()).substr(0, 12);
}

std::string jupyter_starting_status(std::string_view config_id) {
    return std::string{starting} + std::string{config_id};
}

std::string_view jupyter_starting_with(std::string_view status) {
    return status.starts_with(starting) ? status.substr(starting.size()) : std::string_view{};
}

std::string jupyter_serving_status(std::string_view config_id) {
    return "serving " + std::string{config_id};
}

} // namespace agent
