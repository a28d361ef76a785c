#include "agent/steps/shell_setup.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <chrono>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

// bash always, since it is what ssh and scripts get; another one when it is his login shell.
std::vector<std::string> shells_of(const Account& user) {
    std::vector<std::string> shells{"bash"};
    const std::string login = user.shell.filename().string();
    if (login == "zsh" || login == "fish")
        shells.push_back(login);
    return shells;
}

bool is_too_old(const CommandOutcome& outcome) {
    const std::string words = outcome.output + outcome.error_tail;
    return words.find("invalid choice: 'init'") != std::string::npos ||
           words.find("CommandNotFoundError") != std::string::npos;
}

boost::asio::awaitable<Result<CommandOutcome>> run_worker(StepContext& context,
                                                          Account user,
                                                          std::vector<std::string> arguments,
                                                          std::string doing) {
    Command command;
    command.argv = {"/proc/self/exe", "worker", "shell"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.as = std::move(user);
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto done = require_success(std::move(*outcome));
    if (!done)
        co_return agent::context(done.error(), doing);
    co_return done;
}

} // namespace

std::string ShellSetup::fingerprint() const {
    return "conda " + prefix_.string() + " " + user_;
}

boost::asio::awaitable<Result<ShellSetup::Found>> ShellSetup::look(StepContext& context,
                                                                   Account user) const {
    const auto shells = shells_of(user);
    const std::string doing = "looking at what the shells of " + user.name + " read";
    std::vector<std::string> arguments{prefix_.string()};
    auto seen = co_await run_worker(context, std::move(user), std::move(arguments), doing);
    if (!seen)
        co_return seen.error();
    const auto answer = parse_json(seen->output);
    if (!answer)
        co_return agent::context(answer.error(), doing);
    const auto is = [&](const char* key) {
        const Value* value = answer->find(key);
        return value && value->as_bool() && *value->as_bool();
    };
    Found found;
    found.is_complete = is("commands") && is("login");
    for (const std::string& shell : shells) {
        const std::string conda = answer->string_or(shell, "none");
        if (conda == "other")
            found.other.push_back(shell);
        else if (conda != "here")
            found.without.push_back(shell);
    }
    co_return found;
}

boost::asio::awaitable<Result<StepCheck>> ShellSetup::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    const auto found = co_await look(context, *user);
    if (!found)
        co_return found.error();
    if (!found->without.empty())
        co_return StepCheck::due(join(found->without, " and ") + " of " + user_ +
                                 " knows no conda yet");
    if (!found->is_complete)
        co_return StepCheck::due("a login or a command over ssh does not find conda yet");
    if (!found->other.empty())
        co_return StepCheck::yes(join(found->other, " and ") + " of " + user_ +
                                 " has another conda, and keeps it");
    co_return StepCheck::yes("conda for " + join(shells_of(*user), " and ") + " of " + user_);
}

boost::asio::awaitable<Result<void>> ShellSetup::run_conda_init(
    StepContext& context, Account user, std::vector<std::string> shells) const {
    Command command;
    command.argv = {(prefix_ / "bin/conda").string(), "init"};
    command.argv.insert(command.argv.end(), shells.begin(), shells.end());
    command.as = std::move(user);
    command.deadline = 2min;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    if (!outcome->succeeded() && is_too_old(*outcome))
        co_return permanent(
            "the conda at " + prefix_.string() + " knows no `conda init`, which came with 4.6",
            "source " + prefix_.string() +
                "/etc/profile.d/conda.sh by hand, or name a newer [python] installer");
    auto initialised = require_success(std::move(*outcome));
    if (!initialised)
        co_return agent::context(initialised.error(), "conda init " + join(shells, " "));
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> ShellSetup::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    const auto found = co_await look(context, *user);
    if (!found)
        co_return found.error();
    if (!found->without.empty())
        if (auto done = co_await run_conda_init(context, *user, found->without); !done)
            co_return done;
    // Last: conda writes the same files.
    const std::vector<std::string> complete{"--complete", prefix_.string()};
    auto completed = co_await run_worker(
        context, *user, complete, "completing what the shells of " + user_ + " read");
    if (!completed)
        co_return completed.error();
    co_return Result<void>{};
}

} // namespace agent
