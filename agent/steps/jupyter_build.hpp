// Owns what is known of Jupyter's versions: in which terms the one of an environment is configured,
// how it comes to its socket, and which password hashes it reads. Pure.
#pragma once

#include "agent/base/error.hpp"
#include "agent/steps/environment.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace agent {

// Whose classes the configuration names. Source: measured on notebook 5.7 … 7.0, JupyterLab 1.1 …
// 4.0 and jupyter_server 1.23 … 2.21.
enum class JupyterDialect {
    notebook_app, // notebook before 7, and JupyterLab before 3, which is made of it
    server_1,     // jupyter_server 1: JupyterLab 3
    server_2,     // jupyter_server 2: JupyterLab 3.6 and later, notebook 7
};

// notebook before 6.1 can only bind to a port; `agent jupyter` then binds it to its socket.
enum class SocketBinding { by_jupyter, by_agent };

struct JupyterBuild {
    std::string name; // "JupyterLab 1.1.4 on notebook 6.0.1"
    JupyterDialect dialect = JupyterDialect::server_2;
    SocketBinding binding = SocketBinding::by_jupyter;
    bool reads_argon2 = true; // else the right password is refused for ever
    bool is_lab = true;
    // A notebook before 7 on jupyter_client 8, whose synchronous calls run in a thread beside the
    // event loop: the two meet in its sockets, an answer waits half a minute, a connection is lost.
    // Its own asynchronous kernel manager makes no such calls. Source: measured on notebook 6.1.6
    // and 6.4.12 with jupyter_client 8.10.
    bool needs_async_kernels = false;
};

// What the environment at `prefix` makes of the interface, a package's name: "jupyterlab" or
// "notebook". Misconfigured when it is older than anything that was tried; permanent when it is
// not there, or not what it is made of.
[[nodiscard]] Result<JupyterBuild> jupyter_build(std::string_view interface,
                                                 const Environment& environment,
                                                 const std::filesystem::path& prefix);

// Whether the build can check this password; the Error says what to do.
[[nodiscard]] Result<void> reads_password(const JupyterBuild& build, std::string_view hash);

} // namespace agent
