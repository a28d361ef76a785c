#include "agent/host/sudo_privileges.hpp"

#include "agent/ports/layout.hpp"

#include <unistd.h>

namespace agent {

boost::asio::awaitable<Result<bool>> SudoPrivileges::is_sudoer(Account user) {
    if (::access(sudo_.c_str(), X_OK) != 0)
        co_return false;
    Command command;
    // sudo(8): with -l and a command, exit 0 when the policy allows it, 1 when not; seen so on sudo
    // 1.9.5 to 1.9.16, for groups, included files and single rules alike. The text of a
    // bare list says "is not allowed" with exit 0 on some versions and 1 on others.
    command.argv = {sudo_.string(),
                    "--non-interactive",
                    "--list",
                    "--other-user=" + user.name,
                    "--",
                    layout::installed_agent,
                    "retry"};
    command.deadline = std::chrono::seconds{15};
    command.on_line = [](std::string_view) {};
    auto outcome = co_await commands_.run(std::move(command));
    if (!outcome)
        co_return context(outcome.error(), "asking sudo about " + user.name);
    if (!outcome->exit_code()) {
        const auto failed = require_success(std::move(*outcome), ErrorKind::transient);
        co_return context(failed.error(), "asking sudo about " + user.name);
    }
    co_return outcome->succeeded();
}

} // namespace agent
