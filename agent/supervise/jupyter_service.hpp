// Owns the life of one Jupyter: starts it, tells systemd READY only when the three-part probe has
// passed, watches it and ends it as JupyterPolicy says. Restarting is systemd's.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"
#include "agent/ports/child.hpp"
#include "agent/ports/clock.hpp"
#include "agent/ports/command.hpp"
#include "agent/ports/http.hpp"
#include "agent/ports/notify.hpp"
#include "agent/ports/own_groups.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <map>
#include <stop_token>
#include <string>
#include <vector>

namespace agent {

// What becomes of those that ports/notebook_groups.hpp calls powerful, in Jupyter and all it
// starts.
enum class PowerfulGroups { left, kept };

struct JupyterOptions {
    std::filesystem::path program; // /opt/jupyter/bin/jupyter-lab
    std::filesystem::path config;  // /etc/agent/jupyter.json
    PowerfulGroups groups = PowerfulGroups::left;
};

struct JupyterWorld {
    ChildLauncher& launcher;
    HttpClient& http;
    Clock& clock;
    ServiceNotifier& notifier;
    CommandRunner& commands;
    OwnGroups& groups;
};

// What the configuration file says of how Jupyter is reached.
struct JupyterAccess {
    std::filesystem::path socket; // `sock` of ServerApp, NotebookApp or Agent
    bool binds_itself = true;     // else it is of Agent, and given to Jupyter
    Secret token;                 // of IdentityProvider, ServerApp or NotebookApp
    std::string config_id;        // ports/jupyter_identity.hpp
};

// Refuses (misconfigured) what Jupyter would start with open or in another place: a missing, empty
// or broken file, no token, no socket. Source: with a missing or broken --config file Jupyter
// starts anyway with its defaults (measured, notebook 5.7 … jupyter_server 2.20).
[[nodiscard]] Result<JupyterAccess> read_jupyter_access(const JupyterOptions& options);

// What is executed. A notebook that cannot bind a unix socket (before 6.1) would listen on a port
// of 127.0.0.1, which another user could take before it; so the environment's own Python starts it
// with tornado's listen() bound to the socket, and there is no port.
[[nodiscard]] std::vector<std::string> jupyter_command(const JupyterOptions& options,
                                                       const JupyterAccess& access);

// All of Jupyter's environment: who it is from `inherited` (systemd's User= sets HOME, USER,
// LOGNAME and SHELL), what the unit's drop-in says of the network (ports/network_variables.hpp),
// the rest our own; nothing else is passed on.
[[nodiscard]] std::map<std::string, std::string>
jupyter_environment(const std::filesystem::path& program,
                    const std::map<std::string, std::string>& inherited);

// Runs until Jupyter has ended; the value is this process's exit status: 0 when `stop` was
// requested, 78 when the configuration was refused or the groups could not be left, else 1, so that
// systemd starts it again.
boost::asio::awaitable<int>
serve_jupyter(JupyterOptions options, JupyterWorld world, std::stop_token stop);

} // namespace agent
