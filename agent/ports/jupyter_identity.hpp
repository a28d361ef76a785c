// Owns the name by which the step that configures Jupyter recognises, in what the service tells
// systemd, that its own configuration is the one being served.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace agent {

// 12 hex digits of the SHA-256 of the configuration file's content and the program's path.
[[nodiscard]] std::string jupyter_config_id(std::string_view content,
                                            const std::filesystem::path& program);

// The STATUS= of agent-jupyter.service while Jupyter answers; anything else: it does not.
[[nodiscard]] std::string jupyter_serving_status(std::string_view config_id);

} // namespace agent
