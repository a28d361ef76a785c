// Owns wall time as text: ISO 8601 in UTC with whole seconds, "2024-05-01T12:00:00Z".
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

[[nodiscard]] std::string timestamp(std::chrono::system_clock::time_point time);
// Exactly what timestamp() writes; nullopt for anything else.
[[nodiscard]] std::optional<std::chrono::system_clock::time_point>
parse_timestamp(std::string_view text);

} // namespace agent
