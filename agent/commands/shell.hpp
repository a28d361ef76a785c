// Owns `agent shell`: what is executed as the machine's user in Jupyter's environment, and for
// whom.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/account.hpp"
#include "agent/ports/command.hpp"
#include "agent/ports/session.hpp"

#include <boost/asio/awaitable.hpp>

#include <map>
#include <string>
#include <variant>
#include <vector>

#include <sys/types.h>

namespace agent {

struct ShellCaller {
    uid_t uid = 0;
    std::map<std::string, std::string> environment;
};
[[nodiscard]] ShellCaller this_caller();

// Neither root nor the machine's user calls; the message says so.
struct NotAllowed {
    std::string message;
};

using ShellAnswer = std::variant<Session, NotAllowed>;

// The user, prefix and directory are those that the daemon published (machine_file.hpp). The shell
// is no login shell, whose /etc/profile would forget where the environment's programs are; the user
// and his surroundings are as after a login, and [network] is as in Jupyter, where the caller's own
// environment says nothing else. An empty command is the user's shell. An Error when
// there is no environment (yet).
[[nodiscard]] boost::asio::awaitable<Result<ShellAnswer>>
shell_session(const Root& root,
              CommandRunner& commands,
              Accounts& accounts,
              ShellCaller caller,
              std::vector<std::string> command);

} // namespace agent
