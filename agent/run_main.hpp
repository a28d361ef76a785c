// Owns the composition of the daemon and of Jupyter's wrapper: adapters in, exit status out.
#pragma once

#include "agent/base/error.hpp"

#include <filesystem>

namespace agent {

// `agent run`, until SIGTERM. Exit status 0; 4 when another one runs; 77 when not root.
[[nodiscard]] Result<int> run_main();

// `agent jupyter`, until SIGTERM or Jupyter's end.
[[nodiscard]] Result<int> jupyter_main(std::filesystem::path program, std::filesystem::path config);

} // namespace agent
