#include "agent/steps/service_user.hpp"

namespace agent {
namespace {

constexpr int name_in_use = 9; // useradd(8)

} // namespace

boost::asio::awaitable<Result<StepCheck>> ServiceUser::check(StepContext&) {
    auto account = co_await ports_.accounts.find(name_);
    if (!account)
        co_return account.error();
    if (!*account)
        co_return StepCheck::due("there is no user " + name_);
    if ((*account)->uid == 0)
        co_return misconfigured("the user " + name_ + " is root: Jupyter never runs as root",
                                "name another user in [machine] user");
    co_return StepCheck::yes();
}

boost::asio::awaitable<Result<void>> ServiceUser::apply(StepContext& context) {
    Command command;
    command.argv = {"/usr/sbin/useradd",
                    "--create-home",
                    "--user-group",
                    "--shell",
                    "/bin/bash",
                    "--comment",
                    "Jupyter",
                    "--",
                    name_};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    // Google's guest agent makes users too, and may have been first.
    if (outcome->exit_code() == name_in_use)
        co_return Result<void>{};
    auto made = require_success(std::move(*outcome), ErrorKind::transient);
    if (!made)
        co_return agent::context(made.error(), "making the user " + name_);
    co_return Result<void>{};
}

} // namespace agent
