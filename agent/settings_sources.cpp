#include "agent/settings_sources.hpp"

#include "agent/ports/layout.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace agent {
namespace {

constexpr const char* instance_source = "metadata:instance/attributes/agent-config";

// The machine's own files, as it sees them, in the order in which they are read.
std::vector<std::string> config_files(const Root& root) {
    std::error_code failure;
    std::vector<std::string> drop_ins;
    for (const auto& entry :
         std::filesystem::directory_iterator{root / layout::config_directory, failure})
        if (entry.path().extension() == ".toml")
            drop_ins.push_back(std::string{layout::config_directory} + "/" +
                               entry.path().filename().string());
    std::sort(drop_ins.begin(), drop_ins.end());
    if (std::filesystem::exists(
            std::filesystem::symlink_status(root / layout::config_file, failure)))
        drop_ins.insert(drop_ins.begin(), layout::config_file);
    return drop_ins;
}

} // namespace

Result<std::vector<ConfigSource>> gather_sources(const Root& root, const MachineFacts* facts) {
    std::vector<ConfigSource> sources;
    for (const auto& name : config_files(root)) {
        auto source = load_config_file(root / name, name, Trust::machine_file);
        if (!source)
            return source.error();
        sources.push_back(std::move(*source));
    }
    if (facts) {
        const auto attribute = facts->instance_attributes.find(config_attribute);
        if (attribute != facts->instance_attributes.end())
            sources.push_back({instance_source, attribute->second});
    }
    return sources;
}

} // namespace agent
