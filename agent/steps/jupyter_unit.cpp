#include "agent/steps/jupyter_unit.hpp"

#include "agent/ports/jupyter_identity.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/drop_in.hpp"

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto start_limit = 160s; // beyond agent-jupyter.service's own TimeoutStartSec

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

std::string service_drop_in(const Account& user,
                            const std::filesystem::path& program,
                            const JupyterUnit::Environment& environment) {
    const std::string name = user.name;
    std::string variables;
    for (const auto& [variable, value] : environment)
        variables += quoted(variable, value);
    return "[Service]\n"
           "User=" +
           name + "\n" + "Group=" + std::to_string(user.gid) + "\n" + variables +
           "ExecStartPre=\n"
           "ExecStartPre=+/usr/bin/install -d -o " +
           name + " -g " + layout::front_user + " -m 2750 " + layout::jupyter_runtime_directory +
           "\n" +
           "ExecStart=\n"
           "ExecStart=" +
           layout::installed_agent + " jupyter --program " + program.string() + " --config " +
           layout::jupyter_config + "\n";
}

} // namespace

std::string JupyterUnit::fingerprint() const {
    return user_ + " " + program_.string();
}

Result<std::string> JupyterUnit::serving() const {
    const auto config = read_file(ports_.root / layout::jupyter_config);
    if (!config)
        return config.error();
    return jupyter_serving_status(jupyter_config_id(config->value_or(""), program_));
}

boost::asio::awaitable<Result<StepCheck>> JupyterUnit::check(StepContext&) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    if (!drop_in_is(
            ports_.root, layout::jupyter_unit, service_drop_in(*user, program_, environment_)))
        co_return StepCheck::due("the unit is not fitted to this machine");
    // At boot systemd starts it beside us: what is on its way is waited for.
    const auto until = ports_.clock.now() + start_limit;
    auto state = co_await ports_.services.state(layout::jupyter_unit);
    while (state && state->active == "activating" && state->sub != "auto-restart" &&
           ports_.clock.now() < until) {
        co_await ports_.clock.sleep(200ms);
        state = co_await ports_.services.state(layout::jupyter_unit);
    }
    if (!state)
        co_return state.error();
    const auto expected = serving();
    if (!expected)
        co_return expected.error();
    if (state->needs_reload)
        co_return StepCheck::due("systemd has not read the unit yet");
    if (!state->is_active())
        co_return StepCheck::due("Jupyter is " + state->active);
    if (!state->status_text.starts_with(*expected))
        co_return StepCheck::due("Jupyter runs on another configuration");
    co_return StepCheck::yes();
}

boost::asio::awaitable<Result<void>> JupyterUnit::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    const auto expected = serving();
    if (!expected)
        co_return expected.error();
    const std::string drop_in = service_drop_in(*user, program_, environment_);
    const bool fitted = drop_in_is(ports_.root, layout::jupyter_unit, drop_in);
    if (!fitted)
        if (auto written = write_drop_in(ports_.root, layout::jupyter_unit, drop_in); !written)
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
    co_return co_await wait_until_serving(context, *expected);
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
        co_await ports_.clock.sleep(200ms);
    }
    co_return permanent("Jupyter does not come up: agent-jupyter.service is " + state.active +
                            " (" + state.result + ", " + std::to_string(state.restarts) +
                            " restarts" +
                            (state.status_text.empty() ? "" : "; " + state.status_text) + ")",
                        "see `journalctl -u agent-jupyter`");
}

} // namespace agent
