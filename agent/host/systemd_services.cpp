#include "agent/host/systemd_services.hpp"

#include "agent/base/text.hpp"

#include <charconv>

namespace agent {
namespace {

constexpr const char* program = "/usr/bin/systemctl";

UnitState parse(std::string_view properties) {
    UnitState state;
    for (const auto& line : split(properties, '\n')) {
        const auto equals = line.find('=');
        if (equals == std::string::npos)
            continue;
        const std::string name = line.substr(0, equals);
        const std::string value = line.substr(equals + 1);
        if (name == "ActiveState")
            state.active = value;
        else if (name == "SubState")
            state.sub = value;
        else if (name == "StatusText")
            state.status_text = value;
        else if (name == "Result")
            state.result = value;
        else if (name == "NeedDaemonReload")
            state.needs_reload = value == "yes";
        else if (name == "NRestarts")
            std::from_chars(value.data(), value.data() + value.size(), state.restarts);
    }
    return state;
}

} // namespace

boost::asio::awaitable<Result<UnitState>> SystemdServices::state(std::string unit) {
    Command command;
    command.argv = {program,
                    "show",
                    "--property=ActiveState,SubState,StatusText,Result,NeedDaemonReload,NRestarts",
                    "--",
                    unit};
    auto outcome = co_await commands_.run(std::move(command));
    if (!outcome)
        co_return context(outcome.error(), "asking for the state of " + unit);
    auto shown = require_success(std::move(*outcome), ErrorKind::transient);
    if (!shown)
        co_return context(shown.error(), "asking for the state of " + unit);
    co_return parse(shown->output);
}

boost::asio::awaitable<Result<void>>
SystemdServices::systemctl(std::vector<std::string> arguments) {
    const std::string doing = "systemctl " + join(arguments, " ");
    Command command;
    command.argv = {program};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    auto outcome = co_await commands_.run(std::move(command));
    if (!outcome)
        co_return context(outcome.error(), doing);
    auto done = require_success(std::move(*outcome));
    if (!done)
        co_return context(done.error(), doing);
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> SystemdServices::start(std::string unit) {
    return systemctl({"start", "--no-block", "--", std::move(unit)});
}

boost::asio::awaitable<Result<void>> SystemdServices::restart(std::string unit) {
    return systemctl({"restart", "--no-block", "--", std::move(unit)});
}

// Waits: what follows (a socket's restart) needs the unit to be gone.
boost::asio::awaitable<Result<void>> SystemdServices::stop(std::string unit) {
    return systemctl({"stop", "--", std::move(unit)});
}

boost::asio::awaitable<Result<void>> SystemdServices::reload_definitions() {
    return systemctl({"daemon-reload"});
}

} // namespace agent
