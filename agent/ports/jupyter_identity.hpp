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

// The STATUS= of agent-jupyter.service from the moment that the configuration was read …
[[nodiscard]] std::string jupyter_starting_status(std::string_view config_id);
// … and while Jupyter answers; anything else: it does not.
[[nodiscard]] std::string jupyter_serving_status(std::string_view config_id);
// The id in the first of these; empty: it is another status.
[[nodiscard]] std::string_view jupyter_starting_with(std::string_view status);

} // namespace agent
