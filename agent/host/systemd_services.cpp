#include "agent/host/systemd_services.hpp"

#include "agent/base/text.hpp"

#include <charconv>

namespace agent {
namespace {

constexpr const char* program = "/usr/bin/systemctl";

void take(UnitState& state, std::string_view name, const std::string& value) {
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

// A paragraph a unit, in the order in which they were named.
std::vector<UnitState> parse(std::string_view shown) {
    std::vector<UnitState> states(1);
    for (const auto& line : split(trim(shown), '\n')) {
        const auto equals = line.find('=');
        if (line.empty())
            states.emplace_back();
        else if (equals != std::string::npos)
            take(states.back(), line.substr(0, equals), line.substr(equals + 1));
    }
    return states;
}

} // namespace

boost::asio::awaitable<Result<UnitState>> SystemdServices::state(std::string unit) {
    std::vector<std::string> one{std::move(unit)};
    auto found = co_await states(std::move(one));
    if (!found)
        co_return found.error();
    co_return std::move(found->front());
}

boost::asio::awaitable<Result<std::vector<UnitState>>>
SystemdServices::states(std::vector<std::string> units) {
    const std::string doing = "asking for the state of " + join(units, " and ");
    Command command;
    command.argv = {program,
                    "show",
                    "--property=ActiveState,SubState,StatusText,Result,NeedDaemonReload,NRestarts",
                    "--"};
    command.argv.insert(command.argv.end(), units.begin(), units.end());
    auto outcome = co_await commands_.run(std::move(command));
    if (!outcome)
        co_return context(outcome.error(), doing);
    auto shown = require_success(std::move(*outcome), ErrorKind::transient);
    if (!shown)
        co_return context(shown.error(), doing);
    auto states = parse(shown->output);
    if (states.size() != units.size())
        co_return transient(doing + ": systemctl told of " + std::to_string(states.size()) +
                            " units");
    co_return states;
}

boost::asio::awaitable<Result<void>> SystemdServices::systemctl(std::vector<std::string> arguments,
                                                                ErrorKind on_failure) {
    const std::string doing = "systemctl " + join(arguments, " ");
    Command command;
    command.argv = {program};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    auto outcome = co_await commands_.run(std::move(command));
    if (!outcome)
        co_return context(outcome.error(), doing);
    auto done = require_success(std::move(*outcome), on_failure);
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

// Waits: what follows (a socket's restart) needs the unit to be gone. A start that somebody asks
// for meanwhile cancels it.
boost::asio::awaitable<Result<void>> SystemdServices::stop(std::string unit) {
    return systemctl({"stop", "--", std::move(unit)}, ErrorKind::transient);
}

boost::asio::awaitable<Result<void>> SystemdServices::reload_definitions() {
    return systemctl({"daemon-reload"});
}

// -i: since systemd 257 an inhibitor would be obeyed even by root.
boost::asio::awaitable<Result<void>> SystemdServices::power_off() {
    return systemctl({"-i", "--no-wall", "poweroff"}, ErrorKind::transient);
}

} // namespace agent
