#include "agent/steps/python.hpp"

#include "agent/base/text.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/scratch.hpp"

namespace agent {
namespace {

using namespace std::chrono_literals;

} // namespace

std::string PythonVenv::fingerprint() const {
    return "venv " + prefix_.string() + " " + user_ + (version_.empty() ? "" : " " + version_);
}

bool PythonVenv::is_of_another(const Environment& environment) const {
    return !version_.empty() && environment.exists && !environment.python.empty() &&
           !environment.python.starts_with(version_ + ".");
}

boost::asio::awaitable<Result<StepCheck>> PythonVenv::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    auto environment = co_await look_at_environment(context, *user, prefix_);
    if (!environment)
        co_return environment.error();
    if (!environment->exists)
        co_return StepCheck::due("no Python at " + prefix_.string());
    if (is_of_another(*environment))
        co_return StepCheck::due("the Python at " + prefix_.string() + " is " +
                                 printable(environment->python, 20) + ", not " + version_);
    if (!environment->packages.contains("pip"))
        co_return StepCheck::due("the Python at " + prefix_.string() + " has no pip");
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    if (*cut_short)
        co_return StepCheck::due("the making of " + prefix_.string() + " was cut short");
    co_return StepCheck::yes("Python " + environment->python);
}

boost::asio::awaitable<Result<void>> PythonVenv::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    // What was finished once may hold what the user added.
    if (!version_.empty() && context.last_fingerprint()) {
        auto environment = co_await look_at_environment(context, *user, prefix_);
        if (!environment)
            co_return environment.error();
        if (is_of_another(*environment))
            co_return misconfigured(
                "the environment at " + prefix_.string() + " was made with Python " +
                    printable(environment->python, 20) + ", not " + version_,
                "move it away (`mv " + prefix_.string() + " " + prefix_.string() +
                    ".old`) and a new one is made; or name the version that it has");
    }
    if (auto claimed = claim_.claim(*user); !claimed)
        co_return claimed;
    const auto scratch = Scratch::make(ports_.root, *user, prefix_.filename().string() + "-python");
    if (!scratch)
        co_return scratch.error();
    if (auto begun = work_.set(); !begun)
        co_return begun;
    context.progress("making a venv in " + prefix_.string());
    Command command;
    const std::string python = "/usr/bin/python" + (version_.empty() ? "3" : version_);
    command.argv = {python, "-I", "-m", "venv"};
    // Never finished: what is there is half of ours. Finished once: what the user added stays.
    if (!context.last_fingerprint())
        command.argv.emplace_back("--clear");
    command.argv.push_back(prefix_.string());
    command.environment["TMPDIR"] = scratch->path();
    command.as = *user;
    command.directory = prefix_;
    command.deadline = 5min;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto made = require_success(std::move(*outcome));
    if (!made)
        co_return agent::context(made.error(), "making a venv in " + prefix_.string());
    co_return co_await work_.lift(context, *user, prefix_);
}

} // namespace agent
