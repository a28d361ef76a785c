// Owns `agent password`: a password in, the hash for the configuration out, or into this machine's.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/control.hpp"
#include "agent/ports/metadata.hpp"

#include <iosfwd>

namespace agent {

// From a terminal the password is asked twice, without echo, with prompts on `errors`; a signal
// restores the terminal before it acts. From anything else one line is read. The hash is all that
// comes on `output`. Returns the exit code: 0, or 1 with one sentence on `errors`.
int password_command(int input, std::ostream& output, std::ostream& errors);

// `--set`: the hash goes into a drop-in of this machine's configuration, in place of an earlier
// one, and the daemon is asked to take it over. Refused before anything is asked where what counts
// more than that drop-in sets another (the metadata: `facts`, null when it could not be had). The
// exit code: 0, or 1 with one sentence on `errors`; the hash is on neither stream.
int set_password_command(int input,
                         const Root& root,
                         const MachineFacts* facts,
                         ControlClient& daemon,
                         std::ostream& output,
                         std::ostream& errors);

} // namespace agent
