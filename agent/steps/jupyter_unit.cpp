#include "agent/steps/jupyter_unit.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/jupyter_identity.hpp"
#include "agent/ports/layout.hpp"
#include "agent/ports/notebook_groups.hpp"
#include "agent/steps/drop_in.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto start_limit = 160s; // beyond agent-jupyter.service's own TimeoutStartSec
constexpr auto shortest_pause = 100ms;
constexpr auto longest_pause = 2s;

// Only a hint, and no more than a look: the directory is the user's.
bool socket_is_there(const Root& root) {
    std::error_code failure;
    return std::filesystem::is_socket(
        std::filesystem::symlink_status(root / layout::jupyter_socket, failure));
}

// One assignment of Environment=, as systemd.exec(5) and systemd.syntax(7) read it.
std::string quoted(const std::string& name, const std::string& value) {
    std::string text;
    for (const char c : value) {
        if (c == '"' || c == '\\')
            text += '\\';
        else if (c == '%')
            text += '%';
        text += c;
    }
    return "Environment=\"" + name + "=" + text + "\"\n";
}

// In MiB. Without a limit of their own notebooks take the machine to where every program is read
// from the disk again and again: nothing answers for minutes, and the kernel kills nobody.
std::optional<std::uint64_t> memory_for_notebooks(const Root& root) {
    constexpr std::uint64_t granule =
        64; // so that another kernel, which sees a bit less, changes nothing
    constexpr std::string_view opening = "MemTotal:";
    const auto information = read_file(root / "/proc/meminfo");
    if (!information || !*information || !(*information)->starts_with(opening))
        return std::nullopt;
    const std::string_view text = trim(std::string_view{**information}.substr(
        opening.size(), (*information)->find("kB") - opening.size()));
    std::uint64_t kilobytes = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), kilobytes).ec != std::errc{})
        return std::nullopt;
    const std::uint64_t all = kilobytes / 1024;
    const std::uint64_t kept = std::clamp<std::uint64_t>(all / 20, 256, 2048);
    return std::max(all - std::min(all, kept), all / 2) / granule * granule;
}

// For a user who is in powerful groups: `agent jupyter` leaves them before it starts Jupyter, so
// that the socket of a docker that is installed later is closed to notebooks too.
const char* const leave_groups = R"(CapabilityBoundingSet=CAP_SETGID
AmbientCapabilities=CAP_SETGID
SystemCallFilter=setgroups capset
)";

// What sudo needs to become root, and root to install packages. Each of the filters makes systemd
// before 253 set no_new_privs for a service with User=, ProtectKernel…=, ProtectHostname= and
// ProtectClock= among them. What is left out of the capabilities and still behind the unit's mounts
// (another mount, a module, a firewall rule) is done outside: `sudo systemd-run`.
const char* const allow_sudo = R"(NoNewPrivileges=no
CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_SETFCAP CAP_SYS_RESOURCE CAP_AUDIT_WRITE
ProtectSystem=no
InaccessiblePaths=
RestrictSUIDSGID=no
SystemCallFilter=
SystemCallArchitectures=
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
LockPersonality=no
ProtectClock=no
ProtectHostname=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
)";

std::string service_drop_in(const Account& user,
                            const std::filesystem::path& program,
                            const JupyterUnit::Environment& environment,
                            Sudo sudo,
                            bool in_powerful_groups,
                            std::optional<std::uint64_t> memory) {
    const std::string name = user.name;
    std::string variables;
    for (const auto& [variable, value] : environment)
        variables += quoted(variable, value);
    std::string text = "[Service]\n"
                       "User=" +
                       name + "\n" + "Group=" + std::to_string(user.gid) + "\n" + variables +
                       (memory ? "MemoryMax=" + std::to_string(*memory) + "M\n" : "") +
                       "ExecStartPre=\n"
                       "ExecStartPre=+/usr/bin/install -d -o " +
                       name + " -g " + layout::front_user + " -m 2750 " +
                       layout::jupyter_runtime_directory + "\n" +
                       "ExecStart=\n"
                       "ExecStart=" +
                       layout::installed_agent + " jupyter --program " + program.string() +
                       " --config " + layout::jupyter_config;
    if (sudo == Sudo::allowed)
        return text + " --keep-groups\n" + allow_sudo;
    text += '\n';
    return in_powerful_groups ? text + leave_groups : text;
}

// Asked anew each time: Google's guest agent, docker's package and people change memberships.
boost::asio::awaitable<Result<bool>> is_in_powerful_groups(StepContext& context, Account user) {
    Command ask;
    ask.argv = {"/usr/bin/id", "--groups", "--", user.name};
    ask.on_line = [](std::string_view) {}; // a boot with nothing to do writes no log
    auto outcome = co_await context.run(std::move(ask));
    if (!outcome)
        co_return outcome.error();
    auto answered = require_success(std::move(*outcome), ErrorKind::transient);
    if (!answered)
        co_return agent::context(answered.error(), "looking up the groups of " + user.name);
    std::vector<gid_t> groups;
    for (const auto& word : split(trim(answered->output), ' ')) {
        gid_t group{};
        const auto* const end = word.data() + word.size();
        if (std::from_chars(word.data(), end, group).ptr != end)
            co_return permanent("looking up the groups of " + user.name + ": id answered " +
                                printable(answered->output, 120));
        if (group != user.gid)
            groups.push_back(group);
    }
    if (groups.empty())
        co_return false;
    auto named = co_await context.run(name_groups(groups));
    if (!named)
        co_return named.error();
    const auto powerful = powerful_groups(groups, user.gid, std::move(*named));
    if (!powerful)
        co_return powerful.error();
    co_return !powerful->empty();
}

} // namespace

std::string JupyterUnit::fingerprint() const {
    return user_ + " " + program_.string() + (sudo_ == Sudo::allowed ? " sudo" : "");
}

boost::asio::awaitable<Result<std::string>> JupyterUnit::drop_in(StepContext& context) const {
    const auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    const auto memory = memory_for_notebooks(ports_.root);
    if (sudo_ == Sudo::allowed)
        co_return service_drop_in(*user, program_, environment_, sudo_, false, memory);
    const auto powerful = co_await is_in_powerful_groups(context, *user);
    if (!powerful)
        co_return powerful.error();
    co_return service_drop_in(*user, program_, environment_, sudo_, *powerful, memory);
}

Result<std::string> JupyterUnit::config_id() const {
    const auto config = read_file(ports_.root / layout::jupyter_config);
    if (!config)
        return config.error();
    return jupyter_config_id(config->value_or(""), program_);
}

boost::asio::awaitable<void> JupyterUnit::pause() {
    const auto until = ports_.clock.now() + longest_pause;
    do
        co_await ports_.clock.sleep(shortest_pause);
    while (ports_.clock.now() < until && !socket_is_there(ports_.root));
}

boost::asio::awaitable<Result<StepCheck>> JupyterUnit::check(StepContext& context) {
    const auto wanted = co_await drop_in(context);
    if (!wanted)
        co_return wanted.error();
    if (!drop_in_is(ports_.root, layout::jupyter_unit, *wanted))
        co_return StepCheck::due("the unit is not fitted to this machine");
    const auto config = config_id();
    if (!config)
        co_return config.error();
    const auto starts_on_another = [&config](const UnitState& state) {
        const auto id = jupyter_starting_with(state.status_text);
        return !id.empty() && id != *config;
    };
    // At boot systemd starts it beside us: what is on its way is waited for, unless it is on the
    // way to what an image left here.
    const auto until = ports_.clock.now() + start_limit;
    auto state = co_await ports_.services.state(layout::jupyter_unit);
    while (state && state->active == "activating" && state->sub != "auto-restart" &&
           !state->needs_reload && !starts_on_another(*state) && ports_.clock.now() < until) {
        co_await pause();
        state = co_await ports_.services.state(layout::jupyter_unit);
    }
    if (!state)
        co_return state.error();
    if (state->needs_reload)
        co_return StepCheck::due("systemd has not read the unit yet");
    if (starts_on_another(*state))
        co_return StepCheck::due("Jupyter is being started on another configuration");
    if (!state->is_active())
        co_return StepCheck::due("Jupyter is " + state->active);
    if (!state->status_text.starts_with(jupyter_serving_status(*config)))
        co_return StepCheck::due("Jupyter runs on another configuration");
    co_return StepCheck::yes();
}

boost::asio::awaitable<Result<void>> JupyterUnit::apply(StepContext& context) {
    const auto wanted = co_await drop_in(context);
    if (!wanted)
        co_return wanted.error();
    const auto config = config_id();
    if (!config)
        co_return config.error();
    const bool fitted = drop_in_is(ports_.root, layout::jupyter_unit, *wanted);
    if (!fitted)
        if (auto written = write_drop_in(ports_.root, layout::jupyter_unit, *wanted); !written)
            co_return written;
    auto state = co_await ports_.services.state(layout::jupyter_unit);
    if (!state)
        co_return state.error();
    if (!fitted || state->needs_reload) {
        auto reloaded = co_await ports_.services.reload_definitions();
        if (!reloaded)
            co_return reloaded;
    }
    auto restarted = co_await ports_.services.restart(layout::jupyter_unit);
    if (!restarted)
        co_return restarted;
    co_return co_await wait_until_serving(context, jupyter_serving_status(*config));
}

boost::asio::awaitable<Result<void>> JupyterUnit::wait_until_serving(StepContext& context,
                                                                     std::string serving) {
    context.progress("waiting for Jupyter to answer");
    const auto until = ports_.clock.now() + start_limit;
    UnitState state;
    unsigned restarts_at_first = 0;
    bool first = true;
    while (ports_.clock.now() < until) {
        auto seen = co_await ports_.services.state(layout::jupyter_unit);
        if (!seen)
            co_return seen.error();
        state = *seen;
        if (std::exchange(first, false))
            restarts_at_first = state.restarts;
        if (state.is_active() && state.status_text.starts_with(serving))
            co_return Result<void>{};
        if (state.active == "failed" || state.restarts >= restarts_at_first + 3)
            break;
        co_await pause();
    }
    co_return permanent("Jupyter does not come up: agent-jupyter.service is " + state.active +
                            " (" + state.result + ", " + std::to_string(state.restarts) +
                            " restarts" +
                            (state.status_text.empty() ? "" : "; " + state.status_text) + ")",
                        "see `journalctl -u agent-jupyter`");
}

} // namespace agent
