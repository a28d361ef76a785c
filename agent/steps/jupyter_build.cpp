#include "agent/steps/jupyter_build.hpp"

#include "agent/base/release.hpp"
#include "agent/base/text.hpp"

namespace agent {
namespace {

constexpr Release oldest_notebook{5, 7};
constexpr Release first_with_socket{6, 1}; // and with argon2, and with asynchronous kernels
constexpr Release first_notebook_on_server{7, 0};
constexpr Release first_lab_on_server{3, 0};
constexpr Release second_server{2, 0};
constexpr Release first_client_with_threads{8, 0};

const std::string* find(const Environment& environment, const std::string& package) {
    const auto found = environment.packages.find(package);
    return found == environment.packages.end() ? nullptr : &found->second;
}

Error missing(const std::string& package, const std::filesystem::path& prefix) {
    return permanent("there is no " + package + " in " + prefix.string(),
                     "`agent retry python_packages` installs what Jupyter needs");
}

} // namespace

Result<JupyterBuild> jupyter_build(std::string_view interface,
                                   const Environment& environment,
                                   const std::filesystem::path& prefix) {
    const std::string package{interface};
    const std::string* const own = find(environment, package);
    if (!own)
        return missing(package, prefix);
    JupyterBuild build;
    build.is_lab = package == "jupyterlab";
    build.name = (build.is_lab ? "JupyterLab " : "notebook ") + printable(*own, 40);
    const bool on_server =
        release_of(*own) >= (build.is_lab ? first_lab_on_server : first_notebook_on_server);
    const std::string base = on_server ? "jupyter-server" : "notebook";
    const std::string* const beneath = find(environment, base);
    if (!beneath)
        return missing(base + ", which " + build.name + " is made of,", prefix);
    if (base != package)
        build.name +=
            (on_server ? " on jupyter_server " : " on notebook ") + printable(*beneath, 40);
    const Release version = release_of(*beneath);
    if (on_server) {
        build.dialect =
            version < second_server ? JupyterDialect::server_1 : JupyterDialect::server_2;
        return build;
    }
    if (version < oldest_notebook)
        return misconfigured(build.name + " in " + prefix.string() +
                                 " is older than notebook 5.7, which is the oldest that is known "
                                 "to keep strangers out",
                             "ask for a newer one in [python] packages: \"notebook>=6.4\"");
    if (build.is_lab && version >= first_notebook_on_server)
        return misconfigured(build.name + " in " + prefix.string() +
                                 " does not start: it is made of the notebook before 7",
                             "ask for one in [python] packages: \"notebook<7\"");
    build.dialect = JupyterDialect::notebook_app;
    if (version < first_with_socket) {
        build.binding = SocketBinding::by_agent;
        build.reads_argon2 = false;
        return build;
    }
    const std::string* const client = find(environment, "jupyter-client");
    build.needs_async_kernels = client && release_of(*client) >= first_client_with_threads;
    return build;
}

Result<void> reads_password(const JupyterBuild& build, std::string_view hash) {
    if (build.reads_argon2 || !hash.starts_with("argon2:"))
        return {};
    return misconfigured("the password hash is argon2, which " + build.name +
                             " does not understand: it would refuse the right password for ever",
                         "write what `agent password --for notebook-6.0` prints as "
                         "[jupyter] password_hash, or run `sudo agent password --set` here");
}

} // namespace agent
