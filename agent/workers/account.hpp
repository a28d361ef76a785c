// Owns the worker that asks the metadata server for the VM's service account and a token of it.
#pragma once

#include <iosfwd>

namespace agent {

// One line (write_account of ports/bucket.hpp), which holds the token: for a pipe. Returns 0
// whatever it says. The server is where GCE_METADATA_HOST says, else at its standard address; it is
// never asked through a proxy.
int account_worker(std::ostream& out);

} // namespace agent
