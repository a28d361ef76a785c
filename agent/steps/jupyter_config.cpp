#include "agent/steps/jupyter_config.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/jupyter_token.hpp"

#include <algorithm>

namespace agent {
namespace {

// No login shell, whose /etc/profile would forget where the environment's programs are. Jupyter's
// own directory is no place to be; one that the browser asked for is.
constexpr const char* terminal_shell =
    R"([ "$PWD" != / ] || cd "$JUPYTER_SERVER_ROOT"; exec "${SHELL:-/bin/bash}")";

// What every dialect calls the same.
Value::Object application(const std::filesystem::path& directory, const char* directory_key) {
    const Value::Object xsrf_cookie{{"path", "/", {}}, {"secure", true, {}}};
    return {
        {"base_url", "/", {}},
        {"open_browser", false, {}},
        {"allow_root", false, {}},
        {"allow_remote_access", true, {}},
        {"allow_origin", "", {}},
        {"allow_origin_pat", "", {}},
        {"allow_credentials", false, {}},
        {"disable_check_xsrf", false, {}},
        {"quit_button", false, {}},
        {directory_key, directory.string(), {}},
        {"terminals_enabled", true, {}},
        {"terminado_settings",
         Value::Object{{"shell_command", Value::Array{"/bin/sh", "-c", terminal_shell}, {}}},
         {}},
        {"cookie_secret_file", layout::cookie_secret, {}},
        {"tornado_settings", Value::Object{{"xsrf_cookie_kwargs", xsrf_cookie, {}}}, {}},
    };
}

void add_socket(Value::Object& section) {
    section.push_back({"sock", layout::jupyter_socket, {}});
    section.push_back({"sock_mode", "0660", {}});
}

// Before jupyter_server 2 the application itself knows who may come in. No SameSite here, which
// browsers take to be Lax: Python 3.7 knows no such attribute and answers each login with 500.
void add_way_in(Value::Object& section, const Secret& password_hash, const Secret& token) {
    section.push_back({"token", token.reveal(), {}});
    section.push_back({"password", password_hash.reveal(), {}});
    section.push_back({"allow_password_change", false, {}});
    section.push_back({"cookie_options", Value::Object{{"secure", true, {}}}, {}});
}

Value::Object notebook_app(const JupyterBuild& build,
                           const std::filesystem::path& directory,
                           const Secret& password_hash,
                           const Secret& token) {
    auto section = application(directory, "notebook_dir");
    add_way_in(section, password_hash, token);
    Value::Object sections;
    if (build.binding == SocketBinding::by_jupyter) {
        add_socket(section);
    } else {
        // What it would bind to if it were started by anybody but `agent jupyter`.
        section.push_back({"ip", "127.0.0.1", {}});
        section.push_back({"port_retries", 0, {}});
        sections.push_back({"Agent", Value::Object{{"sock", layout::jupyter_socket, {}}}, {}});
    }
    if (build.needs_async_kernels)
        section.push_back({"kernel_manager_class",
                           "notebook.services.kernels.kernelmanager.AsyncMappingKernelManager",
                           {}});
    if (build.is_lab)
        sections.push_back({"LabApp", section, {}});
    sections.push_back({"NotebookApp", std::move(section), {}});
    return sections;
}

Value::Object
server_1(const std::filesystem::path& directory, const Secret& password_hash, const Secret& token) {
    auto section = application(directory, "root_dir");
    add_way_in(section, password_hash, token);
    add_socket(section);
    return {{"ServerApp", std::move(section), {}}};
}

Value::Object
server_2(const std::filesystem::path& directory, const Secret& password_hash, const Secret& token) {
    auto section = application(directory, "root_dir");
    add_socket(section);
    section.push_back({"allow_unauthenticated_access", false, {}});
    section.push_back(
        {"identity_provider_class", "jupyter_server.auth.identity.PasswordIdentityProvider", {}});
    const Value::Object provider{{"token", token.reveal(), {}},
                                 {"secure_cookie", true, {}},
                                 {"cookie_options", Value::Object{{"samesite", "Lax", {}}}, {}}};
    auto password_provider = provider;
    password_provider.push_back({"hashed_password", password_hash.reveal(), {}});
    password_provider.push_back({"allow_password_change", false, {}});
    return {{"ServerApp", std::move(section), {}},
            {"IdentityProvider", provider, {}},
            {"PasswordIdentityProvider", std::move(password_provider), {}}};
}

Value::Object sections_for(const JupyterBuild& build,
                           const std::filesystem::path& directory,
                           const Secret& password_hash,
                           const Secret& token) {
    switch (build.dialect) {
    case JupyterDialect::notebook_app:
        return notebook_app(build, directory, password_hash, token);
    case JupyterDialect::server_1:
        return server_1(directory, password_hash, token);
    case JupyterDialect::server_2:
        break;
    }
    return server_2(directory, password_hash, token);
}

} // namespace

// One dialect alone: a NotebookApp section would override ServerApp wherever notebook_shim is
// loaded. No address, port or TLS key: with `sock` Jupyter refuses to start with a port of its own.
//
// ~/.jupyter/jupyter_config.json and jupyter_lab_config.* are read beside this file, and this file
// wins key by key, but a section of a derived class wins over one of its base: hence the provider's
// keys in both, as JupyterLab 1's and 2's, and defaults that would open something spelt out.
//
// Kernels keep to TCP on 127.0.0.1, where whoever has an account on the VM can read what they
// publish, but not make them do anything. Over unix sockets (KernelManager.transport) the kernels
// of Java and Scala do not answer; when they encrypt (transport_encryption), `jupyter console
// --existing` and qtconsole do not get through to them (jupyter_client 8.10).
std::string jupyter_config_text(const JupyterBuild& build,
                                const std::filesystem::path& directory,
                                const Secret& password_hash,
                                const Secret& token) {
    auto sections = sections_for(build, directory, password_hash, token);
    sections.push_back({"MappingKernelManager", Value::Object{{"cull_idle_timeout", 0, {}}}, {}});
    sections.push_back({"TerminalManager", Value::Object{{"cull_inactive_timeout", 0, {}}}, {}});
    return write_json(std::move(sections)) + "\n";
}

std::optional<Secret> configured_token(const Root& root) {
    const auto content = read_file(root / layout::jupyter_config);
    if (!content || !*content)
        return std::nullopt;
    const auto config = parse_json(**content);
    if (!config)
        return std::nullopt;
    for (const char* section : {"IdentityProvider", "ServerApp", "NotebookApp"}) {
        const Value* found = config->find(section);
        if (const std::string token = found ? found->string_or("token", "") : ""; !token.empty())
            return Secret{token};
    }
    return std::nullopt;
}

std::string JupyterConfig::fingerprint() const {
    return sha256_hex(wish_.user + "\n" + wish_.directory.string() + "\n" +
                      wish_.password_hash.reveal() + "\n" + wish_.prefix.string() + "\n" +
                      wish_.interface);
}

std::filesystem::path JupyterConfig::directory_for(const Account& user) const {
    return wish_.directory.empty() ? user.home : user.home / wish_.directory;
}

boost::asio::awaitable<Result<JupyterBuild>> JupyterConfig::build(StepContext& context,
                                                                  Account user) const {
    const auto environment = co_await look_at_environment(context, std::move(user), wish_.prefix);
    if (!environment)
        co_return environment.error();
    auto build = jupyter_build(wish_.interface, *environment, wish_.prefix);
    if (!build)
        co_return build;
    if (auto readable = reads_password(*build, wish_.password_hash.reveal()); !readable)
        co_return readable.error();
    co_return build;
}

boost::asio::awaitable<Result<StepCheck>> JupyterConfig::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    const auto token = current_token(ports_.root);
    if (!token)
        co_return StepCheck::due("the token that it names is to be made");
    const auto built = co_await build(context, *user);
    if (!built)
        co_return built.error();
    const auto directory = directory_for(*user);
    if (!file_is(ports_.root / layout::jupyter_config,
                 jupyter_config_text(*built, directory, wish_.password_hash, *token),
                 {.mode = 0640, .owner = 0, .group = user->gid}))
        co_return StepCheck::due("the file is not there or says something else");
    Command look;
    look.argv = {"/usr/bin/test", "-d", directory.string()};
    look.as = *user;
    auto outcome = co_await context.run(std::move(look));
    if (!outcome)
        co_return outcome.error();
    if (!outcome->succeeded())
        co_return StepCheck::due("there is no directory " + directory.string());
    co_return StepCheck::yes(built->name + (wish_.password_hash.empty()
                                                ? "; no password: reachable from the VM only"
                                                : ""));
}

boost::asio::awaitable<Result<void>> JupyterConfig::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    const auto token = current_token(ports_.root);
    if (!token)
        co_return permanent("there is no token of this instance",
                            "run `agent retry jupyter_token`");
    const auto built = co_await build(context, *user);
    if (!built)
        co_return built.error();
    const auto directory = directory_for(*user);
    Command make;
    make.argv = {"/usr/bin/mkdir", "--parents", "--", directory.string()};
    make.as = *user;
    auto outcome = co_await context.run(std::move(make));
    if (!outcome)
        co_return outcome.error();
    if (auto made = require_success(std::move(*outcome)); !made)
        co_return agent::context(made.error(), "making " + directory.string());

    const auto config_file = ports_.root / layout::jupyter_config;
    if (auto made = ensure_directory(config_file.parent_path(), {.mode = 0755}); !made)
        co_return made;
    co_return durable_write(config_file,
                            jupyter_config_text(*built, directory, wish_.password_hash, *token),
                            {.mode = 0640, .owner = 0, .group = user->gid});
}

} // namespace agent
