// Owns the names of files and units that more than one room must agree on. Paths are as the machine
// sees them; whoever writes goes through Root.
#pragma once

namespace agent::layout {

inline constexpr const char* config_file = "/etc/agent/agent.toml";
inline constexpr const char* config_directory = "/etc/agent/agent.d"; // drop-ins, NAME.toml
inline constexpr const char* password_drop_in = "/etc/agent/agent.d/90-password.toml";
inline constexpr const char* jupyter_config = "/etc/agent/jupyter.json";
inline constexpr const char* state_directory = "/var/lib/agent";
inline constexpr const char* certificate = "/var/lib/agent/front/tls.pem"; // key and certificate
inline constexpr const char* front_token = "/var/lib/agent/front/token";
inline constexpr const char* ledger_directory = "/var/lib/agent/ledger";
inline constexpr const char* tools = "/var/lib/agent/tools";
inline constexpr const char* scratch_directory = "/var/lib/agent/scratch";
inline constexpr const char* log_directory = "/var/log/agent";

inline constexpr const char* runtime_directory = "/run/agent";
inline constexpr const char* status_file = "/run/agent/status.json";
inline constexpr const char* timeline_file = "/run/agent/timeline";
inline constexpr const char* guest_writes_file = "/run/agent/guest-writes";
inline constexpr const char* front_control = "/run/agent/front-control";
inline constexpr const char* lock_file = "/run/agent/lock";
inline constexpr const char* control_socket = "/run/agent/control";
inline constexpr const char* hold_file = "/run/agent/hold.json";
inline constexpr const char* limits_file = "/run/agent/limits.json";
inline constexpr const char* machine_file = "/run/agent/machine.json";
inline constexpr const char* public_certificate = "/run/agent/certificate.pem"; // without its key

inline constexpr const char* jupyter_runtime_directory = "/run/agent-jupyter";
inline constexpr const char* jupyter_socket = "/run/agent-jupyter/jupyter.sock";
inline constexpr const char* jupyter_state_directory = "/var/lib/agent-jupyter";
inline constexpr const char* cookie_secret = "/var/lib/agent-jupyter/jupyter_cookie_secret";

inline constexpr const char* unit_directory = "/etc/systemd/system";
inline constexpr const char* front_user = "agent-front";
inline constexpr const char* front_socket_unit = "agent-front.socket";
inline constexpr const char* front_control_unit = "agent-front-control.socket";
inline constexpr const char* front_unit = "agent-front.service";
inline constexpr const char* jupyter_unit = "agent-jupyter.service";

inline constexpr const char* console = "/dev/console";
inline constexpr const char* installed_agent = "/usr/local/bin/agent";

} // namespace agent::layout
