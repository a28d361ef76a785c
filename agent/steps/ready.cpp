#include "agent/steps/ready.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"
#include "agent/steps/jupyter_token.hpp"
#include "agent/steps/tls_certificate.hpp"

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto probe_deadline = 10s;
// The front finds out within a second that Jupyter is up.
constexpr auto patience_of_check = 5s;
constexpr auto patience = 60s;
constexpr auto pause = 200ms;

// The step's way to run commands, as the port that probe_through_front() takes.
class StepCommands : public CommandRunner {
public:
    explicit StepCommands(StepContext& context) : context_{context} {}
    boost::asio::awaitable<Result<CommandOutcome>> run(Command command) override {
        return context_.run(std::move(command));
    }

private:
    StepContext& context_;
};

Result<void> parse_answer(const CommandOutcome& outcome) {
    const auto answer = parse_json(trim(outcome.output));
    if (!answer)
        return transient("the probe answered " + printable(outcome.output, 120));
    const Value* ok = answer->find("ok");
    if (ok && ok->as_bool() && *ok->as_bool())
        return {};
    const auto kind = answer->string_or("kind", "transient") == "transient" ? ErrorKind::transient
                                                                            : ErrorKind::permanent;
    return Error{kind,
                 printable(answer->string_or("message", "no word")),
                 printable(answer->string_or("next", ""))};
}

} // namespace

boost::asio::awaitable<Result<void>> probe_through_front(CommandRunner& commands,
                                                         StepPorts ports,
                                                         std::uint16_t port,
                                                         ProbeDepth depth) {
    const auto token = current_token(ports.root);
    const auto certificate = current_certificate_sha256(ports.root);
    if (!token || certificate.empty())
        co_return transient("there is no token or no certificate to probe with");
    auto nobody = co_await existing_account(ports.accounts, "nobody");
    if (!nobody)
        co_return nobody.error();
    Command probe;
    probe.argv = {"/proc/self/exe", "worker", "probe"};
    probe.as = *nobody;
    probe.input = write_json(Value::Object{
        {"address", "127.0.0.1", {}},
        {"port", std::int64_t{port}, {}},
        {"certificate_sha256", certificate, {}},
        {"token", token->reveal(), {}},
        {"proven", depth == ProbeDepth::proven, {}},
        {"deadline_ms", std::int64_t{std::chrono::milliseconds{probe_deadline}.count()}, {}},
    });
    probe.deadline = probe_deadline + 5s;
    probe.on_line = [](std::string_view) {};
    auto outcome = co_await commands.run(std::move(probe));
    if (!outcome)
        co_return outcome.error();
    auto answered = require_success(std::move(*outcome), ErrorKind::transient);
    if (!answered)
        co_return agent::context(answered.error(), "probing Jupyter through the front");
    co_return parse_answer(*answered);
}

boost::asio::awaitable<Result<void>> Ready::probe_until(StepContext& context, Monotonic until) {
    StepCommands commands{context};
    while (true) {
        auto probed = co_await probe_through_front(commands, ports_, port_, ProbeDepth::whole);
        if (probed || probed.error().kind == ErrorKind::permanent || ports_.clock.now() >= until)
            co_return probed;
        co_await ports_.clock.sleep(pause);
    }
}

boost::asio::awaitable<Result<StepCheck>> Ready::check(StepContext& context) {
    const auto probed = co_await probe_until(context, ports_.clock.now() + patience_of_check);
    if (probed)
        co_return StepCheck::yes("Jupyter answers");
    co_return StepCheck::due(probed.error().message);
}

boost::asio::awaitable<Result<void>> Ready::apply(StepContext& context) {
    const auto probed = co_await probe_until(context, ports_.clock.now() + patience);
    if (!probed)
        co_return agent::context(probed.error(), "waiting for Jupyter behind the front");
    co_return Result<void>{};
}

} // namespace agent
