// Owns where the configuration comes from on a machine, and in which order it counts: the file, the
// drop-ins, the project's metadata when it is allowed to, the instance's metadata.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/settings.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace agent {

inline constexpr const char* config_attribute = "agent-config";

struct GatheredSources {
    std::vector<ConfigSource> sources; // what read_configuration() takes, later ones win
    std::vector<Diagnostic> notes;     // on what lies beside them and does not count
};
// `facts` is null when the metadata server could not be asked. A file that cannot be trusted or
// read is a source with its refusal. The project's configuration counts only when a file, a drop-in
// or the instance says `metadata.project_config = true`.
[[nodiscard]] GatheredSources gather_sources(const Root& root, const MachineFacts* facts);

// Refuses what is no regular file: a directory, a FIFO, a device; what is larger than 256 KiB; for
// the machine's own files (not for `agent check`) also links, and what others than root may write.
// Never blocks.
enum class Trust { machine_file, any_file };
[[nodiscard]] ConfigSource
load_config_file(const std::filesystem::path& path, std::string shown_name, Trust trust);

} // namespace agent
