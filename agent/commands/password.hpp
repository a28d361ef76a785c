// Owns `agent password`: a password in, the hash for the configuration out, or into this machine's.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/account.hpp"
#include "agent/ports/command.hpp"
#include "agent/ports/control.hpp"
#include "agent/ports/metadata.hpp"

#include <boost/asio/awaitable.hpp>

#include <iosfwd>

namespace agent {

enum class PasswordForm {
    argon2,
    salted, // sha256, for a notebook before 6.1, which reads no argon2
};

// From a terminal the password is asked twice, without echo, with prompts on `errors`; a signal
// restores the terminal before it acts. From anything else one line is read. The hash is all that
// comes on `output`. Returns the exit code: 0, or 1 with one sentence on `errors`.
int password_command(int input, PasswordForm form, std::ostream& output, std::ostream& errors);

// What the Jupyter of this machine reads: the one that is installed, else the one that is asked
// for; argon2 when neither can be told.
[[nodiscard]] boost::asio::awaitable<PasswordForm> password_form_here(const Root& root,
                                                                      const MachineFacts* facts,
                                                                      CommandRunner& commands,
                                                                      Accounts& accounts);

// `--set`: the hash goes into a drop-in of this machine's configuration, in place of an earlier
// one, and the daemon is asked to take it over. Refused before anything is asked where what counts
// more than that drop-in sets another (the metadata: `facts`, null when it could not be had). The
// exit code: 0, or 1 with one sentence on `errors`; the hash is on neither stream.
int set_password_command(int input,
                         PasswordForm form,
                         const Root& root,
                         const MachineFacts* facts,
                         ControlClient& daemon,
                         std::ostream& output,
                         std::ostream& errors);

} // namespace agent
