// Owns the composition of the front: `agent front` from its options to its exit status.
#pragma once

#include "agent/base/error.hpp"
#include "agent/ports/layout.hpp"

#include <filesystem>
#include <vector>

#include <sys/types.h>

namespace agent {

struct FrontOptions {
    // Empty: tls.pem and token in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=).
    std::filesystem::path certificate;
    std::filesystem::path token;
    std::filesystem::path backend = layout::jupyter_socket;
    uid_t backend_owner = static_cast<uid_t>(-1); // must be given
    std::filesystem::path status_file = layout::status_file;
    std::vector<int> listeners; // empty: those that systemd holds for this process
    int control = -1;           // of theirs: where another certificate is handed over; -1: nowhere
};

// Serves until SIGTERM or SIGINT; the Error is why it could not begin.
[[nodiscard]] Result<void> front_main(FrontOptions options);

} // namespace agent
