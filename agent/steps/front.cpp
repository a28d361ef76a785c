#include "agent/steps/front.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/drop_in.hpp"
#include "agent/steps/jupyter_token.hpp"
#include "agent/steps/tls_certificate.hpp"

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto start_limit = 20s;

std::string service_drop_in(const Account& user) {
    return std::string{"[Service]\nEnvironment=AGENT_BACKEND_OWNER="} + std::to_string(user.uid) +
           "\n";
}

Error port_is_taken(std::uint16_t port, const std::string& holder) {
    return transient("port " + std::to_string(port) + " is taken by " + holder,
                     "end that program, or name another port in [jupyter] port");
}

// What the front says of itself once it serves this certificate and has this token.
std::string serving(const Root& root) {
    return front_identity_status(current_certificate_sha256(root),
                                 current_token(root).value_or(Secret{}));
}

} // namespace

std::string Front::fingerprint() const {
    return user_ + " " + std::to_string(port_) +
           (reach_ == Reach::everywhere ? " everywhere" : " this machine");
}

std::string Front::socket_drop_in() const {
    const std::string port = std::to_string(port_);
    return "[Socket]\nListenStream=\n" + (reach_ == Reach::everywhere
                                              ? "ListenStream=" + port + "\n"
                                              : "ListenStream=127.0.0.1:" + port + "\n");
}

boost::asio::awaitable<Result<StepCheck>> Front::check(StepContext&) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    if (!drop_in_is(ports_.root, layout::front_socket_unit, socket_drop_in()) ||
        !drop_in_is(ports_.root, layout::front_unit, service_drop_in(*user)))
        co_return StepCheck::due("the units are not fitted to this machine");
    const std::vector<std::string> units{layout::front_socket_unit, layout::front_unit};
    auto states = co_await ports_.services.states(units);
    if (states && !states->front().is_active())
        co_return StepCheck::due("port " + std::to_string(port_) + " is not held");
    // A connection may be starting it just now.
    const auto until = ports_.clock.now() + start_limit;
    while (states && states->back().active == "activating" &&
           states->back().sub != "auto-restart" && ports_.clock.now() < until) {
        co_await ports_.clock.sleep(100ms);
        states = co_await ports_.services.states(units);
    }
    if (!states)
        co_return states.error();
    const UnitState& socket = states->front();
    const UnitState& front = states->back();
    // Not running is as good: the first connection starts it, with the certificate that is in
    // place.
    const bool on_demand = front.active == "inactive";
    if (!front.is_active() && !on_demand)
        co_return StepCheck::due("the front is " + front.active);
    if (socket.needs_reload || front.needs_reload)
        co_return StepCheck::due("systemd has not read the units yet");
    if (!on_demand && !front.status_text.starts_with(serving(ports_.root)))
        co_return StepCheck::due("the front has another certificate or token");
    co_return StepCheck::yes("port " + std::to_string(port_));
}

boost::asio::awaitable<Result<bool>> Front::handed_over(StepContext& context) {
    auto front = co_await ports_.services.state(layout::front_unit);
    if (!front)
        co_return front.error();
    if (!front->is_active() || front->needs_reload)
        co_return false;
    auto certificate = read_file(ports_.root / layout::certificate, front_control_limit);
    const auto token = current_token(ports_.root);
    if (!certificate || !*certificate || !token)
        co_return false;
    FrontIdentity identity{Secret{std::move(**certificate)}, *token};
    auto served = co_await ports_.front_control.hand_over(std::move(identity));
    if (!served && served.error().kind == ErrorKind::transient) {
        context.progress("restarting the front: " + served.error().message);
        co_return false;
    }
    if (!served)
        co_return agent::context(served.error(), "giving the front its new certificate");
    // One of an earlier version says it in other words.
    front = co_await ports_.services.state(layout::front_unit);
    if (!front)
        co_return front.error();
    co_return front->status_text.starts_with(serving(ports_.root));
}

boost::asio::awaitable<Result<void>> Front::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    auto socket = co_await ports_.services.state(layout::front_socket_unit);
    if (!socket)
        co_return socket.error();
    const bool same_socket = drop_in_is(ports_.root, layout::front_socket_unit, socket_drop_in());
    const bool takes_port = !same_socket || !socket->is_active();
    // Asked first: what is served on the port so far goes on until the new one is free.
    if (takes_port)
        if (const auto other = co_await holder(context); !other.empty())
            co_return port_is_taken(port_, other);
    const bool same_service = drop_in_is(ports_.root, layout::front_unit, service_drop_in(*user));
    if (same_socket && same_service && socket->is_active() && !socket->needs_reload) {
        auto served = co_await handed_over(context);
        if (!served)
            co_return served.error();
        if (*served)
            co_return Result<void>{};
    }
    if (!same_socket)
        if (auto written = write_drop_in(ports_.root, layout::front_socket_unit, socket_drop_in());
            !written)
            co_return written;
    if (auto written = write_drop_in(ports_.root, layout::front_unit, service_drop_in(*user));
        !written)
        co_return written;
    auto reloaded = co_await ports_.services.reload_definitions();
    if (!reloaded)
        co_return reloaded;

    // A held port is let go only when another one is asked for.
    if (takes_port) {
        auto stopped = co_await ports_.services.stop(layout::front_unit);
        if (!stopped)
            co_return stopped;
        auto restarted = co_await ports_.services.restart(layout::front_socket_unit);
        if (!restarted)
            co_return restarted;
    }
    auto restarted = co_await ports_.services.restart(layout::front_unit);
    if (!restarted)
        co_return restarted;

    context.progress("waiting for the front");
    const auto until = ports_.clock.now() + start_limit;
    const std::vector<std::string> units{layout::front_socket_unit, layout::front_unit};
    UnitState state;
    while (ports_.clock.now() < until) {
        auto seen = co_await ports_.services.states(units);
        if (!seen)
            co_return seen.error();
        state = seen->back();
        if (state.is_active() && state.status_text.starts_with(serving(ports_.root)))
            co_return Result<void>{};
        // Without its socket systemd does not even try.
        if (seen->front().active == "failed")
            break;
        co_await ports_.clock.sleep(100ms);
    }
    if (const auto other = co_await holder(context); !other.empty())
        co_return port_is_taken(port_, other);
    co_return transient("the front did not come up on port " + std::to_string(port_) +
                            ": agent-front.service is " + state.active + " (" + state.result + ")",
                        "see `journalctl -u agent-front.socket -u agent-front.service`");
}

boost::asio::awaitable<std::string> Front::holder(StepContext& context) const {
    Command command;
    command.argv = {"/usr/bin/ss",
                    "--no-header",
                    "--listening",
                    "--tcp",
                    "--numeric",
                    "--processes",
                    "sport = :" + std::to_string(port_)};
    command.on_line = [](std::string_view) {};
    const auto outcome = co_await context.run(std::move(command));
    if (!outcome || !outcome->succeeded())
        co_return std::string{}; // systemd's own words must do
    co_return other_listener(outcome->output, reach_);
}

std::string other_listener(std::string_view ss_answer, Reach reach) {
    for (const auto& line : split(ss_answer, '\n')) {
        // State, Recv-Q, Send-Q, address:port, peer, users:(("NAME",pid=N,fd=N),…)
        auto fields = split(line, ' ');
        std::erase(fields, std::string{});
        if (fields.size() < 5)
            continue;
        const std::string address = fields[3].substr(0, fields[3].rfind(':'));
        const bool in_our_way = reach == Reach::everywhere || address == "0.0.0.0" ||
                                address == "*" || address == "[::]" || address == "127.0.0.1";
        if (!in_our_way)
            continue;
        const auto name = line.find("((\"");
        const auto pid = line.find(",pid=");
        if (name == std::string::npos || pid == std::string::npos)
            return "a program that is no process here";
        // What systemd holds it has handed to our front as well.
        if (line.find(",pid=1,") != std::string::npos)
            continue;
        const std::string process = line.substr(pid + 5, line.find(',', pid + 5) - pid - 5);
        const auto begin = name + 3;
        return printable(line.substr(begin, line.find('"', begin) - begin), 40) + " (process " +
               printable(process, 20) + ")";
    }
    return {};
}

} // namespace agent
