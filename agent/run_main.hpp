// Owns the composition of the daemon, of the commands that look where it looks, and of Jupyter's
// wrapper: adapters in, exit status out.
#pragma once

#include "agent/base/error.hpp"
#include "agent/commands/config.hpp"
#include "agent/commands/plan.hpp"
#include "agent/supervise/jupyter_service.hpp"

namespace agent {

// `agent run`, until SIGTERM. Exit status 0; 4 when another one runs; 77 when not root.
[[nodiscard]] Result<int> run_main();

// `agent plan`. Exit status of plan_command(); 77 when not root, 130 when interrupted.
[[nodiscard]] Result<int> plan_main(PlanOptions options);

// `agent config`. Asks the metadata server once, briefly; without an answer the files alone are
// shown, and that is said. Exit status as config_command(); 77 when not root, 130 when interrupted.
[[nodiscard]] Result<int> config_main(const ConfigOptions& options);

// `agent jupyter`, until SIGTERM or Jupyter's end.
[[nodiscard]] Result<int> jupyter_main(JupyterOptions options);

// `agent password --set`. Exit status 77 when not root.
[[nodiscard]] Result<int> set_password_main();

} // namespace agent
