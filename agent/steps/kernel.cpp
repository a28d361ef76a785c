#include "agent/steps/kernel.hpp"

#include "agent/base/text.hpp"
#include "agent/steps/environment.hpp"

#include <utility>

namespace agent {

using namespace std::chrono_literals;

std::string Kernel::fingerprint() const {
    return "kernel " + wish_.name + " " + wish_.prefix.string() + " " +
           wish_.jupyter_prefix.string();
}

boost::asio::awaitable<Result<StepCheck>> Kernel::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    auto jupyter = co_await look_at_environment(context, *user, wish_.jupyter_prefix);
    if (!jupyter)
        co_return jupyter.error();
    const auto kernel = jupyter->kernels.find(wish_.name);
    if (kernel == jupyter->kernels.end())
        co_return StepCheck::due("Jupyter does not offer " + wish_.name);
    if (kernel->second != python())
        co_return misconfigured(
            "Jupyter has a kernel " + wish_.name + " already, which starts " +
                printable(kernel->second, 100),
            "give the environment another name, or remove that kernel: jupyter kernelspec remove " +
                wish_.name);
    co_return StepCheck::yes("kernel " + wish_.name);
}

boost::asio::awaitable<Result<void>> Kernel::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    auto environment = co_await look_at_environment(context, *user, wish_.prefix);
    if (!environment)
        co_return environment.error();
    const std::string& version = environment->python;
    const auto minor_end = version.find('.', version.find('.') + 1);
    Command command;
    command.argv = {python(),
                    "-I",
                    "-m",
                    "ipykernel",
                    "install",
                    "--prefix=" + wish_.jupyter_prefix.string(),
                    "--name=" + wish_.name,
                    "--display-name=" + wish_.name + " (Python" +
                        (version.empty() ? "" : " " + version.substr(0, minor_end)) + ")"};
    command.as = *user;
    command.deadline = 2min;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto written = require_success(std::move(*outcome));
    if (!written)
        co_return agent::context(written.error(), "offering " + wish_.name + " in Jupyter");
    co_return Result<void>{};
}

} // namespace agent
