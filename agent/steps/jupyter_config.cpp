#include "agent/steps/jupyter_config.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"

#include <algorithm>

namespace agent {
namespace {

constexpr std::size_t token_bytes = 32;

// No login shell, whose /etc/profile would forget where the environment's programs are. Jupyter's
// own directory is no place to be; one that the browser asked for is.
constexpr const char* terminal_shell =
    R"([ "$PWD" != / ] || cd "$JUPYTER_SERVER_ROOT"; exec "${SHELL:-/bin/bash}")";

} // namespace

// No NotebookApp section: it would override ServerApp wherever notebook_shim is loaded. No address,
// port or TLS key: with `sock` Jupyter refuses to start with a port of its own.
//
// ~/.jupyter/jupyter_config.json and jupyter_lab_config.* are read beside this file, and this file
// wins key by key, but a section of a derived class wins over one of its base: hence the provider's
// keys in both, and defaults that would open something spelt out.
//
// Kernels keep to TCP on 127.0.0.1, where whoever has an account on the VM can read what they
// publish, but not make them do anything. Over unix sockets (KernelManager.transport) the kernels
// of Java and Scala do not answer; when they encrypt (transport_encryption), `jupyter console
// --existing` and qtconsole do not get through to them (jupyter_client 8.10).
std::string jupyter_config_text(const std::filesystem::path& directory,
                                const Secret& password_hash,
                                const Secret& token) {
    const Value::Object xsrf_cookie{{"path", "/", {}}, {"secure", true, {}}};
    const Value::Object provider{{"token", token.reveal(), {}},
                                 {"secure_cookie", true, {}},
                                 {"cookie_options", Value::Object{{"samesite", "Lax", {}}}, {}}};
    auto password_provider = provider;
    password_provider.push_back({"hashed_password", password_hash.reveal(), {}});
    password_provider.push_back({"allow_password_change", false, {}});
    return write_json(Value::Object{
               {"ServerApp",
                Value::Object{
                    {"sock", layout::jupyter_socket, {}},
                    {"sock_mode", "0660", {}},
                    {"base_url", "/", {}},
                    {"open_browser", false, {}},
                    {"allow_root", false, {}},
                    {"allow_remote_access", true, {}},
                    {"allow_unauthenticated_access", false, {}},
                    {"identity_provider_class",
                     "jupyter_server.auth.identity.PasswordIdentityProvider",
                     {}},
                    {"allow_origin", "", {}},
                    {"allow_origin_pat", "", {}},
                    {"allow_credentials", false, {}},
                    {"disable_check_xsrf", false, {}},
                    {"quit_button", false, {}},
                    {"root_dir", directory.string(), {}},
                    {"terminals_enabled", true, {}},
                    {"terminado_settings",
                     Value::Object{
                         {"shell_command", Value::Array{"/bin/sh", "-c", terminal_shell}, {}}},
                     {}},
                    {"cookie_secret_file", layout::cookie_secret, {}},
                    {"tornado_settings",
                     Value::Object{{"xsrf_cookie_kwargs", xsrf_cookie, {}}},
                     {}},
                },
                {}},
               {"IdentityProvider", provider, {}},
               {"PasswordIdentityProvider", password_provider, {}},
               {"MappingKernelManager", Value::Object{{"cull_idle_timeout", 0, {}}}, {}},
               {"TerminalManager", Value::Object{{"cull_inactive_timeout", 0, {}}}, {}},
           }) +
           "\n";
}

std::optional<Secret> current_token(const Root& root) {
    const auto content = read_file(root / layout::front_token, 1024);
    if (!content || !*content)
        return std::nullopt;
    const std::string& token = **content;
    const bool whole = token.size() == 2 * token_bytes &&
                       token.find_first_not_of("0123456789abcdef") == std::string::npos;
    return whole ? std::optional{Secret{token}} : std::nullopt;
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
                      wish_.password_hash.reveal());
}

std::filesystem::path JupyterConfig::directory_for(const Account& user) const {
    return wish_.directory.empty() ? user.home : user.home / wish_.directory;
}

boost::asio::awaitable<Result<StepCheck>> JupyterConfig::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    const auto token = current_token(ports_.root);
    if (!token)
        co_return StepCheck::due("there is no token of this instance");
    const auto directory = directory_for(*user);
    if (!file_is(ports_.root / layout::jupyter_config,
                 jupyter_config_text(directory, wish_.password_hash, *token),
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
    co_return StepCheck::yes(wish_.password_hash.empty() ? "no password: reachable from the VM only"
                                                         : "");
}

boost::asio::awaitable<Result<void>> JupyterConfig::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    const auto directory = directory_for(*user);
    Command make;
    make.argv = {"/usr/bin/mkdir", "--parents", "--", directory.string()};
    make.as = *user;
    auto outcome = co_await context.run(std::move(make));
    if (!outcome)
        co_return outcome.error();
    if (auto made = require_success(std::move(*outcome)); !made)
        co_return agent::context(made.error(), "making " + directory.string());

    const auto token_file = ports_.root / layout::front_token;
    if (auto made = ensure_directory(token_file.parent_path(), {.mode = 0700}); !made)
        co_return made;
    auto token = current_token(ports_.root);
    if (!token || context.on_new_instance()) {
        token = Secret{random_hex(token_bytes)};
        // Whoever logged in on the other instance must not be logged in here.
        if (auto removed = remove_file(ports_.root / layout::cookie_secret);
            !removed && std::filesystem::exists(ports_.root / layout::cookie_secret))
            co_return removed;
        if (auto written = durable_write(token_file, token->reveal(), {.mode = 0600}); !written)
            co_return written;
    }
    const auto config_file = ports_.root / layout::jupyter_config;
    if (auto made = ensure_directory(config_file.parent_path(), {.mode = 0755}); !made)
        co_return made;
    co_return durable_write(config_file,
                            jupyter_config_text(directory, wish_.password_hash, *token),
                            {.mode = 0640, .owner = 0, .group = user->gid});
}

} // namespace agent
