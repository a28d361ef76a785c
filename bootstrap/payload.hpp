// Owns the list of what the installer carries and where each piece belongs.
#pragma once

#include <string_view>
#include <vector>

#include <sys/types.h>

namespace agent {

enum class Replace {
    always, // ours: whatever differs is replaced
    never,  // the machine's own once it is there
};

struct PayloadFile {
    std::string_view content;
    const char* path; // as the machine sees it
    mode_t mode;
    Replace replace;
};

[[nodiscard]] std::vector<PayloadFile> payload();

} // namespace agent
