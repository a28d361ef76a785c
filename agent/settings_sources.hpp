// Owns where the configuration comes from on a machine, and in which order it counts: the file, the
// drop-ins, the instance's metadata.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/settings.hpp"

#include <vector>

namespace agent {

inline constexpr const char* config_attribute = "agent-config";

// What read_settings() takes, later ones win. `facts` is null when the metadata server could not be
// asked. An Error when a file is there and cannot be trusted or read.
[[nodiscard]] Result<std::vector<ConfigSource>> gather_sources(const Root& root,
                                                               const MachineFacts* facts);

} // namespace agent
