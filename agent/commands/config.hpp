// Owns `agent config`: prints the merged configuration, where each value was said and what it
// overruled. Secrets are masked; everything else may be fed back as a configuration.
#pragma once

#include "agent/settings.hpp"
#include "agent/settings_sources.hpp"

#include <iosfwd>

namespace agent {

struct ConfigOptions {
    bool json = false;
    Colours colours = Colours::off;
};
// The configuration goes to `out` as TOML or JSON, diagnostics to `err` (with `json` to `out` as
// well). The exit code: 0, or 1 when it is not valid; then only the diagnostics are printed.
[[nodiscard]] int config_command(const GatheredSources& gathered,
                                 const ConfigOptions& options,
                                 std::ostream& out,
                                 std::ostream& err);

} // namespace agent
