#include "agent/steps/python.hpp"

#include "agent/steps/environment.hpp"

#include <system_error>

namespace agent {
namespace {

using namespace std::chrono_literals;

} // namespace

std::string PythonVenv::fingerprint() const {
    return "venv " + prefix_.string() + " " + user_;
}

std::filesystem::path PythonVenv::marker() const {
    return ports_.root /
           (prefix_.parent_path() / ("." + prefix_.filename().string() + ".agent")).string();
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
    if (!environment->packages.contains("pip"))
        co_return StepCheck::due("the Python at " + prefix_.string() + " has no pip");
    co_return StepCheck::yes("Python " + environment->python);
}

Result<void> PythonVenv::claim_prefix(const Account& owner) const {
    const auto prefix = ports_.root / prefix_.string();
    const auto made_by_us = read_file(marker());
    if (!made_by_us)
        return made_by_us.error();
    if (!*made_by_us) {
        std::error_code failure;
        const auto status = std::filesystem::symlink_status(prefix, failure);
        const bool something = std::filesystem::exists(status);
        if (something &&
            !(std::filesystem::is_directory(status) && std::filesystem::is_empty(prefix, failure)))
            return misconfigured(prefix_.string() + " exists and was not made by this agent",
                                 "move it away, or name another [python] prefix");
        if (!std::filesystem::exists(prefix.parent_path(), failure))
            if (auto parent = ensure_directory(prefix.parent_path(), {.mode = 0755}); !parent)
                return parent;
        if (auto marked = durable_write(marker(), "made by agent\n"); !marked)
            return marked;
    }
    return ensure_directory(prefix, {.mode = 0755, .owner = owner.uid, .group = owner.gid});
}

boost::asio::awaitable<Result<void>> PythonVenv::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, user_);
    if (!user)
        co_return user.error();
    if (auto claimed = claim_prefix(*user); !claimed)
        co_return claimed;
    context.progress("making a venv in " + prefix_.string());
    Command command;
    command.argv = {"/usr/bin/python3", "-I", "-m", "venv"};
    // Never finished: what is there is half of ours. Finished once: what the user added stays.
    if (!context.last_fingerprint())
        command.argv.emplace_back("--clear");
    command.argv.push_back(prefix_.string());
    command.as = *user;
    command.directory = prefix_;
    command.deadline = 5min;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto made = require_success(std::move(*outcome));
    if (!made)
        co_return agent::context(made.error(), "making a venv in " + prefix_.string());
    co_return Result<void>{};
}

} // namespace agent
