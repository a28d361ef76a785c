#include "bootstrap/install.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/layout.hpp"
#include "bootstrap/fitness.hpp"
#include "bootstrap/payload.hpp"

#include <sys/stat.h>

extern "C" {
#define AGENT_PIECE(name)                                                                          \
    extern const char payload_##name##_begin[];                                                    \
    extern const char payload_##name##_end[]
AGENT_PIECE(agent);
AGENT_PIECE(config);
AGENT_PIECE(agent_service);
AGENT_PIECE(front_service);
AGENT_PIECE(front_socket);
AGENT_PIECE(front_control_socket);
AGENT_PIECE(jupyter_service);
AGENT_PIECE(sysusers);
#undef AGENT_PIECE
}

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr const char* enabled_units[] = {
    "agent.service", layout::front_socket_unit, layout::front_unit, layout::jupyter_unit};
constexpr const char* sysusers_file = "/usr/local/lib/sysusers.d/agent.conf";

// The assembler made one object of what are two symbols here.
std::string_view between(const char* begin, const char* end) {
    // NOLINTNEXTLINE(clang-analyzer-security.PointerSub)
    return {begin, static_cast<std::size_t>(end - begin)};
}

boost::asio::awaitable<Result<CommandOutcome>> run(CommandRunner& commands,
                                                   std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    command.deadline = 60s;
    const std::string doing = join(command.argv, " ");
    auto outcome = co_await commands.run(std::move(command));
    if (!outcome)
        co_return context(outcome.error(), doing);
    co_return outcome;
}

boost::asio::awaitable<Result<void>> run_successfully(CommandRunner& commands,
                                                      std::vector<std::string> argv) {
    const std::string doing = join(argv, " ");
    auto outcome = co_await run(commands, std::move(argv));
    if (!outcome)
        co_return outcome.error();
    auto done = require_success(std::move(*outcome));
    if (!done)
        co_return context(done.error(), doing);
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> require_fit_machine(CommandRunner& commands) {
    std::vector<std::string> ask{"/usr/bin/systemctl", "--version"};
    const auto outcome = co_await run(commands, std::move(ask));
    co_return require_systemd(outcome ? std::string_view{outcome->output} : std::string_view{});
}

struct Placed {
    bool anything = false;
    bool units = false;
    bool agent = false;
};

// Compared in place: the agent is larger than what read_file() takes for state.
bool is_in_place(const std::filesystem::path& path, const PayloadFile& file) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0)
        return false;
    if (file.replace == Replace::never)
        return true;
    if (!S_ISREG(status.st_mode) || (status.st_mode & 07777) != file.mode || status.st_uid != 0)
        return false;
    const auto content = read_file(path, file.content.size());
    return content && *content && **content == file.content;
}

Result<Placed> place_files(const Root& root, const std::function<void(std::string_view)>& tell) {
    Placed placed;
    for (const auto& file : payload()) {
        const auto path = root / file.path;
        if (is_in_place(path, file))
            continue;
        std::error_code failure;
        if (!std::filesystem::exists(path.parent_path(), failure))
            if (auto made = ensure_directory(path.parent_path(), {.mode = 0755}); !made)
                return made.error();
        if (auto written =
                durable_write(path, file.content, {.mode = file.mode, .owner = 0, .group = 0});
            !written)
            return context(written.error(), "installing");
        tell(std::string{"installed "} + file.path);
        placed.anything = true;
        const std::string_view where = file.path;
        placed.units |= where.find("/systemd/system/") != std::string_view::npos;
        placed.agent |= where == layout::installed_agent;
    }
    return placed;
}

boost::asio::awaitable<Result<void>> enable(CommandRunner& commands, const char* unit) {
    std::vector<std::string> ask{"/usr/bin/systemctl", "is-enabled", "--quiet", unit};
    auto asked = co_await run(commands, std::move(ask));
    if (asked && asked->succeeded())
        co_return Result<void>{};
    std::vector<std::string> order{"/usr/bin/systemctl", "enable", "--quiet", unit};
    co_return co_await run_successfully(commands, std::move(order));
}

} // namespace

std::vector<PayloadFile> payload() {
#define AGENT_PIECE(name) between(payload_##name##_begin, payload_##name##_end)
    return {
        {AGENT_PIECE(agent), layout::installed_agent, 0755, Replace::always},
        {AGENT_PIECE(config), layout::config_file, 0600, Replace::never},
        {AGENT_PIECE(sysusers), sysusers_file, 0644, Replace::always},
        {AGENT_PIECE(agent_service),
         "/usr/local/lib/systemd/system/agent.service",
         0644,
         Replace::always},
        {AGENT_PIECE(front_service),
         "/usr/local/lib/systemd/system/agent-front.service",
         0644,
         Replace::always},
        {AGENT_PIECE(front_socket),
         "/usr/local/lib/systemd/system/agent-front.socket",
         0644,
         Replace::always},
        {AGENT_PIECE(front_control_socket),
         "/usr/local/lib/systemd/system/agent-front-control.socket",
         0644,
         Replace::always},
        {AGENT_PIECE(jupyter_service),
         "/usr/local/lib/systemd/system/agent-jupyter.service",
         0644,
         Replace::always},
    };
#undef AGENT_PIECE
}

boost::asio::awaitable<Result<Installed>>
install(CommandRunner& commands, Root root, std::function<void(std::string_view)> tell) {
    auto fit = co_await require_fit_machine(commands);
    if (!fit)
        co_return fit.error();
    const auto placed = place_files(root, tell);
    if (!placed)
        co_return placed.error();
    if (placed->anything) {
        std::vector<std::string> sysusers{"/usr/bin/systemd-sysusers", sysusers_file};
        auto made = co_await run_successfully(commands, std::move(sysusers));
        if (!made)
            co_return made.error();
    }
    if (placed->units) {
        std::vector<std::string> reload{"/usr/bin/systemctl", "daemon-reload"};
        auto reloaded = co_await run_successfully(commands, std::move(reload));
        if (!reloaded)
            co_return reloaded.error();
    }
    for (const char* unit : enabled_units) {
        auto enabled = co_await enable(commands, unit);
        if (!enabled)
            co_return enabled.error();
    }
    const char* verb = placed->agent || placed->units ? "restart" : "start";
    std::vector<std::string> start{"/usr/bin/systemctl", verb, "--no-block", "agent.service"};
    auto started = co_await run_successfully(commands, std::move(start));
    if (!started)
        co_return started.error();
    co_return placed->anything ? Installed::now : Installed::before;
}

} // namespace agent
