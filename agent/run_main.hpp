// Owns the composition of the daemon, of the commands that look where it looks, and of Jupyter's
// wrapper: adapters in, exit status out.
#pragma once

#include "agent/base/error.hpp"
#include "agent/commands/config.hpp"
#include "agent/commands/password.hpp"
#include "agent/commands/plan.hpp"
#include "agent/commands/timeline.hpp"
#include "agent/supervise/jupyter_service.hpp"

#include <optional>
#include <string>
#include <vector>

namespace agent {

// `agent run`, until SIGTERM. Exit status 0; 4 when another one runs; 77 when not root.
[[nodiscard]] Result<int> run_main();

// `agent plan`. Exit status of plan_command(); 77 when not root, 130 when interrupted.
[[nodiscard]] Result<int> plan_main(PlanOptions options);

// `agent timeline`. Exit status of timeline_command(); 130 when interrupted.
[[nodiscard]] Result<int> timeline_main(TimelineOptions options);

// `agent config`. Asks the metadata server once, briefly; without an answer the files alone are
// shown, and that is said. Exit status as config_command(); 77 when not root, 130 when interrupted.
[[nodiscard]] Result<int> config_main(const ConfigOptions& options);

// `agent jupyter`, until SIGTERM or Jupyter's end.
[[nodiscard]] Result<int> jupyter_main(JupyterOptions options);

// `agent password --set`, in the form that this machine's Jupyter reads unless one is given. Exit
// status 77 when not root.
[[nodiscard]] Result<int> set_password_main(std::optional<PasswordForm> form);

// `agent shell`: the command takes this process's place, so its exit status is the command's. 77
// when neither root nor the machine's user, 126 or 127 when it cannot be executed or found.
[[nodiscard]] Result<int> shell_main(const std::vector<std::string>& command);

} // namespace agent
