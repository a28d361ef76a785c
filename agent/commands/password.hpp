// Owns `agent password`: a password in, the hash for the configuration out.
#pragma once

#include <iosfwd>

namespace agent {

// From a terminal the password is asked twice, without echo, with prompts on `errors`; a signal
// restores the terminal before it acts. From anything else one line is read. The hash is all that
// comes on `output`. Returns the exit code: 0, or 1 with one sentence on `errors`.
int password_command(int input, std::ostream& output, std::ostream& errors);

} // namespace agent
