#include "agent/run_main.hpp"

#include "agent/base/lock.hpp"
#include "agent/base/log.hpp"
#include "agent/base/stop.hpp"
#include "agent/base/text.hpp"
#include "agent/commands/columns.hpp"
#include "agent/commands/screen.hpp"
#include "agent/commands/shell.hpp"
#include "agent/daemon.hpp"
#include "agent/host/control_socket.hpp"
#include "agent/host/device_terminals.hpp"
#include "agent/host/front_control_socket.hpp"
#include "agent/host/gce_metadata.hpp"
#include "agent/host/getent_accounts.hpp"
#include "agent/host/http_client.hpp"
#include "agent/host/lineage.hpp"
#include "agent/host/memory_witness.hpp"
#include "agent/host/process.hpp"
#include "agent/host/process_groups.hpp"
#include "agent/host/sudo_privileges.hpp"
#include "agent/host/system_clock.hpp"
#include "agent/host/systemd_notify.hpp"
#include "agent/host/systemd_services.hpp"
#include "agent/host/take_place.hpp"
#include "agent/main_loop.hpp"
#include "agent/ports/layout.hpp"
#include "agent/settings_sources.hpp"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <iostream>

#include <unistd.h>

namespace agent {
namespace {

constexpr int another_runs = 4;
constexpr int needs_root = 77; // EX_NOPERM
constexpr int interrupted = 130;
constexpr int not_executable = 126; // as shells have it
constexpr int not_found = 127;
// For the metadata server, while a person waits: what is only shown, what is decided by it.
constexpr std::chrono::seconds config_patience{2};
constexpr std::chrono::seconds password_patience{5};
constexpr std::chrono::seconds grace_of_left_behind{5};

boost::asio::awaitable<int> live(Daemon& daemon) {
    co_await daemon.run();
    co_return 0;
}

boost::asio::awaitable<int> learn(MetadataSource& metadata, Result<MachineFacts>& facts) {
    facts = co_await metadata.read();
    co_return 0;
}

boost::asio::awaitable<int> find_form(const Root& root,
                                      const MachineFacts* facts,
                                      CommandRunner& commands,
                                      PasswordForm& form) {
    GetentAccounts accounts{commands};
    form = co_await password_form_here(root, facts, commands, accounts);
    co_return 0;
}

PasswordForm form_here(const Root& root, const MachineFacts* facts) {
    boost::asio::io_context io{1};
    std::stop_source stop;
    ProcessCommandRunner commands{io, stop.get_token()};
    auto form = PasswordForm::argon2;
    run_main_loop(io, stop, find_form(root, facts, commands, form));
    return form;
}

boost::asio::awaitable<int> find_session(CommandRunner& commands,
                                         const Root& root,
                                         const std::vector<std::string>& command,
                                         Result<ShellAnswer>& answer) {
    GetentAccounts accounts{commands};
    answer = co_await shell_session(root, commands, accounts, this_caller(), command);
    co_return 0;
}

// Once, for a command that a person waits for. Throws Stopped.
Result<MachineFacts> ask_once(const TcpEndpoint& endpoint, std::chrono::milliseconds deadline) {
    boost::asio::io_context io{1};
    std::stop_source stop;
    BeastHttpClient http{io, stop.get_token()};
    GceMetadata metadata{http, endpoint, deadline};
    Result<MachineFacts> facts = transient("not asked");
    run_main_loop(io, stop, learn(metadata, facts));
    return facts;
}

} // namespace

Result<int> run_main() {
    if (::geteuid() != 0) {
        std::cerr << "agent: `agent run` must be root; it is what agent.service executes\n";
        return needs_root;
    }
    const Root root;
    if (auto made = ensure_directory(root / layout::runtime_directory, {.mode = 0755}); !made)
        return made.error();
    auto lock = ProcessLock::take(root / layout::lock_file);
    if (!lock)
        return lock.error();
    if (const auto* holder = std::get_if<ProcessLock::HeldBy>(&*lock)) {
        std::cerr << "agent: another `agent run` holds " << layout::lock_file << " (process "
                  << holder->pid << "); see `agent status`\n";
        return another_runs;
    }
    const auto endpoint = metadata_server();
    if (!endpoint)
        return endpoint.error();
    // Its secrets have modes of their own. Without it the first step that needs it says so.
    if (auto made = ensure_directory(root / layout::state_directory, {.mode = 0711}); !made)
        log::warning(made.error().message);

    adopt_orphans();
    // An installer beside another one's rest would find it half way.
    if (const auto ended = end_left_behind(grace_of_left_behind); !ended.empty())
        log::warning("ended what an earlier run left behind: " + join(ended, ", "));
    boost::asio::io_context io{1};
    std::stop_source stop;
    const std::stop_source never;
    ProcessCommandRunner processes{io, stop.get_token()};
    MemoryWitness commands{processes, root};
    GetentAccounts accounts{commands};
    SystemdServices services{commands};
    SocketFrontControl front_control{io.get_executor(), root / layout::front_control};
    SystemClock clock{io, stop.get_token()};
    BeastHttpClient http{io, stop.get_token()};
    GceMetadata metadata{http, *endpoint};
    SystemdNotifier notifier;
    SudoPrivileges privileges{commands};
    DeviceTerminals terminals{root};
    auto control = ControlSocket::listen(io, root / layout::control_socket, stop.get_token(), {});
    if (!control)
        return control.error();
    SystemClock last_clock{io, never.get_token()};
    BeastHttpClient last_http{io, never.get_token()};
    GceMetadata last_metadata{last_http, *endpoint};
    Daemon daemon{{io,
                   root,
                   commands,
                   accounts,
                   services,
                   front_control,
                   clock,
                   metadata,
                   notifier,
                   privileges,
                   terminals,
                   **control,
                   last_metadata,
                   last_clock,
                   stop.get_token(),
                   [&stop] { stop.request_stop(); }}};
    return run_main_loop(io, stop, live(daemon), [&daemon] { daemon.reload(); });
}

Result<int> plan_main(PlanOptions options) {
    if (::geteuid() != 0) {
        std::cerr << "agent: `agent plan` must be root, to look where others may not; use `sudo "
                     "agent plan`\n";
        return needs_root;
    }
    const auto endpoint = metadata_server();
    if (!endpoint)
        return endpoint.error();
    adopt_orphans();
    boost::asio::io_context io{1};
    std::stop_source stop;
    ProcessCommandRunner commands{io, stop.get_token()};
    GetentAccounts accounts{commands};
    SystemdServices services{commands};
    SystemClock clock{io, stop.get_token()};
    BeastHttpClient http{io, stop.get_token()};
    GceMetadata metadata{http, *endpoint};
    const Root root;
    SocketFrontControl front_control{io.get_executor(), root / layout::front_control};
    const PlanWorld world{io, root, commands, accounts, services, clock, metadata, front_control};
    try {
        return run_main_loop(io, stop, plan_command(options, world, std::cout, std::cerr));
    } catch (const Stopped&) {
        return interrupted;
    }
}

Result<int> timeline_main(TimelineOptions options) {
    boost::asio::io_context io{1};
    std::stop_source stop;
    ProcessCommandRunner commands{io, stop.get_token()};
    TimelineView view;
    if (::isatty(STDOUT_FILENO) == 1)
        view.columns = size_of(STDOUT_FILENO).columns;
    view.letters = letters_of_locale();
    view.colours = is_coloured_terminal(std::cout) ? Colours::on : Colours::off;
    const TimelineWorld world{Root{}, commands, view};
    try {
        return run_main_loop(
            io, stop, timeline_command(std::move(options), world, std::cout, std::cerr));
    } catch (const Stopped&) {
        return interrupted;
    }
}

Result<int> shell_main(const std::vector<std::string>& command) {
    Result<ShellAnswer> answer = transient("not asked");
    try {
        boost::asio::io_context io{1};
        std::stop_source stop;
        ProcessCommandRunner commands{io, stop.get_token()};
        run_main_loop(io, stop, find_session(commands, Root{}, command, answer));
    } catch (const Stopped&) {
        return interrupted;
    }
    if (!answer)
        return answer.error();
    if (const auto* refusal = std::get_if<NotAllowed>(&*answer)) {
        std::cerr << "agent shell: " << refusal->message << "\n";
        return needs_root;
    }
    const auto& session = std::get<Session>(*answer);
    const int failure = take_place(session);
    std::cerr << "agent shell: " << printable(session.argv.front()) << ": "
              << std::strerror(failure) << "\n";
    return failure == ENOENT ? not_found : not_executable;
}

Result<int> set_password_main(std::optional<PasswordForm> form) {
    if (::geteuid() != 0) {
        std::cerr << "agent: `agent password --set` must be root, to change the configuration; use "
                     "`sudo agent password --set`\n";
        return needs_root;
    }
    const auto endpoint = metadata_server();
    if (!endpoint)
        return endpoint.error();
    try {
        const auto facts = ask_once(*endpoint, password_patience);
        if (!facts)
            std::cerr << "agent: going on without the metadata server, whose configuration would "
                         "count more: "
                      << facts.error().message << "\n";
        const Root root;
        UnixControlClient daemon{root / layout::control_socket};
        const MachineFacts* known = facts ? &*facts : nullptr;
        if (!form)
            form = form_here(root, known);
        return set_password_command(STDIN_FILENO, *form, root, known, daemon, std::cout, std::cerr);
    } catch (const Stopped&) {
        return interrupted;
    }
}

Result<int> config_main(const ConfigOptions& options) {
    if (::geteuid() != 0) {
        std::cerr << "agent: `agent config` reads what only root may: use sudo\n";
        return needs_root;
    }
    const auto endpoint = metadata_server();
    if (!endpoint)
        return endpoint.error();
    try {
        const auto facts = ask_once(*endpoint, config_patience);
        if (!facts)
            std::cerr << "agent: without the instance's metadata, for the files alone: "
                      << facts.error().message << "\n";
        return config_command(
            gather_sources(Root{}, facts ? &*facts : nullptr), options, std::cout, std::cerr);
    } catch (const Stopped&) {
        return interrupted;
    }
}

Result<int> jupyter_main(JupyterOptions options) {
    boost::asio::io_context io{1};
    std::stop_source stop;
    const std::stop_source never;
    // The wrapper goes on waiting and probing while it ends its child.
    ProcessChildLauncher launcher{io};
    BeastHttpClient http{io, never.get_token()};
    SystemClock clock{io, never.get_token()};
    SystemdNotifier notifier;
    ProcessCommandRunner commands{io, never.get_token()};
    ProcessGroups groups;
    const JupyterWorld world{launcher, http, clock, notifier, commands, groups};
    return run_main_loop(io, stop, serve_jupyter(std::move(options), world, stop.get_token()));
}

} // namespace agent
