#include "agent/supervise/jupyter_service.hpp"

#include "agent/base/files.hpp"
#include "agent/base/log.hpp"
#include "agent/base/stop.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/jupyter_identity.hpp"
#include "agent/ports/network_variables.hpp"
#include "agent/ports/notebook_groups.hpp"
#include "agent/ports/probe.hpp"
#include "agent/supervise/jupyter_policy.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <variant>

#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_misconfigured = 78; // EX_CONFIG: the unit's RestartPreventExitStatus=
constexpr std::size_t least_token = 32;
constexpr std::chrono::seconds probe_deadline{10};
constexpr std::chrono::seconds longest_wait{10};

// For Python 3.5 and later, tornado 4.0 and later. What runs is the environment's own script, as
// its first line would have it run; without tornado, or with another way to listen, it ends here,
// or is not found at the socket.
const char* const start_on_socket = R"(import os, runpy, sys
path, program = sys.argv[1:3]
sys.path[0] = os.path.dirname(program)
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
def listen(server, *address, **options):
    server.add_socket(bind_unix_socket(path, 0o660))
HTTPServer.listen = listen
sys.argv = [program] + sys.argv[3:]
runpy.run_path(program, run_name="__main__")
)";

const char* const rewrite = "run `agent retry jupyter_config`, which writes it anew";

Result<Value> read_config(const std::filesystem::path& path, std::string& content) {
    auto text = read_file(path);
    if (!text)
        return misconfigured(text.error().message, rewrite);
    if (!*text || (*text)->empty())
        return misconfigured(path.string() + " is " + (*text ? "empty" : "missing"), rewrite);
    auto value = parse_json(**text);
    if (!value)
        return misconfigured(path.string() + " is no JSON: " + value.error().message, rewrite);
    content = std::move(**text);
    return value;
}

// Of the first of the sections that has it.
std::string
text_in(const Value& config, std::initializer_list<const char*> sections, const std::string& key) {
    for (const char* section : sections) {
        const Value* found = config.find(section);
        if (std::string text = found ? found->string_or(key, "") : ""; !text.empty())
            return text;
    }
    return {};
}

// Jupyter leaves its socket behind when it is killed.
Result<void> remove_stale_socket(const std::filesystem::path& path) {
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0)
        return errno == ENOENT ? Result<void>{}
                               : system_error("looking at " + path.string(), errno);
    if (!S_ISSOCK(found.st_mode))
        return permanent(path.string() + " is in the way: it is no socket", "remove it");
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return system_error("removing " + path.string(), errno);
    return {};
}

std::map<std::string, std::string> own_environment() {
    std::map<std::string, std::string> variables;
    for (char** entry = environ; entry && *entry; ++entry) {
        const std::string_view text{*entry};
        const auto equals = text.find('=');
        if (equals != std::string_view::npos)
            variables.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return variables;
}

std::string describe_end(const std::variant<Exited, Signaled>& end) {
    if (const auto* exited = std::get_if<Exited>(&end))
        return "Jupyter exited with status " + std::to_string(exited->code);
    return "Jupyter was ended by signal " + std::to_string(std::get<Signaled>(end).signal);
}

// One started Jupyter, the policy that watches it and what the policy's word means for it.
class Service {
public:
    Service(std::unique_ptr<Child> child, JupyterAccess access, JupyterWorld world)
        : child_{std::move(child)}, access_{std::move(access)}, world_{world},
          policy_{world.clock.now()} {}

    boost::asio::awaitable<int> run(std::stop_token stop) {
        // Called from the loop that we wait in; the child's end then wakes us.
        const std::stop_callback on_stop{
            stop, [this] { observe({.now = world_.clock.now(), .stop_requested = true}); }};
        while (!left_) {
            if (world_.notifier.watchdog())
                world_.notifier.alive();
            if (policy_.probing() && world_.clock.now() >= policy_.next_look())
                co_await probe();
            const auto end = co_await child_->wait(until_next_look());
            if (end)
                ended_ = describe_end(*end);
            observe({.now = world_.clock.now(), .exited = end.has_value()});
        }
        co_return verdict();
    }

private:
    boost::asio::awaitable<void> probe() {
        Result<void> result{};
        bool stopped = false;
        try {
            const auto at = endpoint();
            if (proven_)
                result =
                    co_await ask_proven_jupyter(world_.http, at, access_.token, probe_deadline);
            else
                result = co_await probe_jupyter(world_.http, at, access_.token, probe_deadline);
        } catch (const Stopped&) {
            stopped = true;
        }
        if (stopped)
            co_return;
        auto finding = ProbeFinding::answers;
        proven_ = proven_ || result.has_value();
        if (!result) {
            finding = result.error().kind == ErrorKind::transient ? ProbeFinding::silent
                                                                  : ProbeFinding::open;
            trouble_ = result.error().message;
        }
        observe({.now = world_.clock.now(), .probe = finding});
    }

    [[nodiscard]] UnixEndpoint endpoint() const {
        return {.path = access_.socket, .owner = ::geteuid()};
    }

    [[nodiscard]] std::chrono::milliseconds until_next_look() const {
        std::chrono::milliseconds longest = longest_wait;
        if (const auto watchdog = world_.notifier.watchdog())
            longest = std::min(
                longest, std::chrono::duration_cast<std::chrono::milliseconds>(*watchdog) / 3);
        const auto wait =
            std::chrono::ceil<std::chrono::milliseconds>(policy_.next_look() - world_.clock.now());
        return std::clamp(wait, std::chrono::milliseconds{0}, longest);
    }

    void observe(const JupyterObservation& seen) { obey(policy_.observe(seen)); }

    void obey(JupyterAction action) {
        switch (action) {
        case JupyterAction::nothing:
            return;
        case JupyterAction::say_ready:
            // The status first: whoever waits for READY reads it next.
            world_.notifier.status(jupyter_serving_status(access_.config_id));
            world_.notifier.ready();
            log::info("Jupyter answers on " + access_.socket.string());
            return;
        case JupyterAction::say_trouble:
            world_.notifier.status("not answering: " + trouble_);
            log::warning("Jupyter does not answer: " + trouble_);
            return;
        case JupyterAction::terminate:
            begin_end();
            child_->signal(SIGTERM);
            return;
        case JupyterAction::kill:
            begin_end();
            child_->signal(SIGKILL);
            return;
        case JupyterAction::leave:
            left_ = true;
            return;
        }
    }

    void begin_end() {
        if (std::exchange(ending_, true))
            return;
        world_.notifier.stopping();
        if (policy_.reason().empty())
            return;
        const std::string why = policy_.reason() + ": " + trouble_;
        world_.notifier.status(why);
        log::error(why);
    }

    [[nodiscard]] int verdict() const {
        if (policy_.asked_to_stop())
            return 0;
        if (!ending_)
            log::error(ended_ + (ended_.empty() ? "" : " without having been asked to"));
        return exit_failed;
    }

    std::unique_ptr<Child> child_;
    JupyterAccess access_;
    JupyterWorld world_;
    JupyterPolicy policy_;
    std::string trouble_; // what the last failed probe said
    std::string ended_;
    bool proven_ = false; // the three-part probe has passed
    bool ending_ = false;
    bool left_ = false;
};

boost::asio::awaitable<Result<void>> leave_powerful_groups(JupyterWorld world) {
    const auto held = world.groups.supplementary();
    if (!held)
        co_return held.error();
    std::vector<gid_t> powerful;
    if (!held->empty()) {
        auto named = co_await world.commands.run(name_groups(*held));
        if (!named)
            co_return context(named.error(), "asking for the names of the user's groups");
        auto found = powerful_groups(*held, world.groups.primary(), std::move(*named));
        if (!found)
            co_return found.error();
        powerful = std::move(*found);
    }
    const auto left = world.groups.leave(powerful);
    if (left)
        co_return Result<void>{};
    Error error = context(left.error(), "giving up the user's powerful groups");
    error.next = "run `systemctl restart agent`, which fits the unit to them";
    co_return error;
}

int refuse(const Error& error) {
    log::error("Jupyter is not started: " + error.message +
               (error.next.empty() ? "" : "; " + error.next));
    return error.kind == ErrorKind::misconfigured ? exit_misconfigured : exit_failed;
}

} // namespace

Result<JupyterAccess> read_jupyter_access(const JupyterOptions& options) {
    std::string content;
    const auto config = read_config(options.config, content);
    if (!config)
        return config.error();
    JupyterAccess access;
    access.socket = text_in(*config, {"ServerApp", "NotebookApp"}, "sock");
    access.binds_itself = !access.socket.empty();
    if (!access.binds_itself)
        access.socket = text_in(*config, {"Agent"}, "sock");
    access.token =
        Secret{text_in(*config, {"IdentityProvider", "ServerApp", "NotebookApp"}, "token")};
    access.config_id = jupyter_config_id(content, options.program);
    if (!access.socket.is_absolute())
        return misconfigured(options.config.string() + " names no absolute socket", rewrite);
    if (access.token.reveal().size() < least_token)
        return misconfigured(options.config.string() + " has no token of at least " +
                                 std::to_string(least_token) + " characters",
                             rewrite);
    return access;
}

std::vector<std::string> jupyter_command(const JupyterOptions& options,
                                         const JupyterAccess& access) {
    std::vector<std::string> argv;
    if (!access.binds_itself)
        argv = {(options.program.parent_path() / "python").string(),
                "-c",
                start_on_socket,
                access.socket.string()};
    argv.push_back(options.program.string());
    argv.push_back("--config=" + options.config.string());
    return argv;
}

std::map<std::string, std::string>
jupyter_environment(const std::filesystem::path& program,
                    const std::map<std::string, std::string>& inherited) {
    const auto bin = program.parent_path();
    const auto home = inherited.find("HOME");
    // Where `pip install --user` puts them; a terminal reads no ~/.profile that would say so.
    const std::string own_programs =
        home == inherited.end() || home->second.empty() ? "" : ":" + home->second + "/.local/bin";
    std::map<std::string, std::string> variables{
        {"PATH", bin.string() + own_programs + ":/usr/local/bin:/usr/bin:/bin"},
        {"LANG", "C.UTF-8"},
        {"SHELL", "/bin/bash"}, // what Jupyter's terminals run
        // Else a syntax error in the configuration is logged and Jupyter starts with its defaults.
        {"TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR", "1"},
    };
    for (const char* name : {"HOME", "USER", "LOGNAME", "SHELL"})
        if (const auto found = inherited.find(name); found != inherited.end() &&
                                                     !found->second.empty() &&
                                                     !found->second.ends_with("/nologin"))
            variables[name] = found->second;
    for (const auto names : {std::span<const char* const>{network_variables::proxy},
                             std::span<const char* const>{network_variables::without_proxy},
                             std::span<const char* const>{network_variables::certificates}})
        for (const char* name : names)
            if (const auto found = inherited.find(name); found != inherited.end())
                variables.insert(*found);
    std::error_code unreadable;
    if (std::filesystem::exists(bin.parent_path() / "pyvenv.cfg", unreadable))
        variables["VIRTUAL_ENV"] = bin.parent_path().string();
    if (const auto prefix = bin.parent_path();
        std::filesystem::exists(prefix / "conda-meta", unreadable)) {
        variables["CONDA_PREFIX"] = prefix.string();
        variables["CONDA_DEFAULT_ENV"] =
            prefix.parent_path().filename() == "envs" ? prefix.filename().string() : "base";
    }
    return variables;
}

boost::asio::awaitable<int>
serve_jupyter(JupyterOptions options, JupyterWorld world, std::stop_token stop) {
    if (stop.stop_requested())
        co_return 0;
    auto access = read_jupyter_access(options);
    if (!access)
        co_return refuse(access.error());
    // At once: Jupyter reads the file later than we do, and it may be replaced meanwhile.
    world.notifier.status(jupyter_starting_status(access->config_id));
    if (const auto removed = remove_stale_socket(access->socket); !removed)
        co_return refuse(removed.error());
    if (options.groups == PowerfulGroups::left) {
        const auto left = co_await leave_powerful_groups(world);
        if (!left)
            co_return refuse(left.error());
    }

    ChildProgram program;
    program.argv = jupyter_command(options, *access);
    program.environment = jupyter_environment(options.program, own_environment());
    auto child = world.launcher.launch(std::move(program));
    if (!child)
        co_return refuse(child.error());

    Service service{std::move(*child), std::move(*access), world};
    co_return co_await service.run(std::move(stop));
}

} // namespace agent
