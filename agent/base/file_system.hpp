// Owns the question how much room there is where a path lies.
#pragma once

#include "agent/base/error.hpp"

#include <cstdint>
#include <filesystem>

#include <sys/types.h>

namespace agent {

struct FileSystem {
    dev_t id = 0; // the same for all paths on it
    std::uint64_t bytes = 0;
    std::uint64_t free_bytes = 0;          // to root
    std::uint64_t free_bytes_of_users = 0; // what is reserved for root is not theirs
    std::uint64_t inodes = 0;              // 0: it makes them as it needs them
    std::uint64_t free_inodes = 0;
};

// Of a path that need not exist: its nearest parent's that does.
[[nodiscard]] Result<FileSystem> file_system_of(const std::filesystem::path& path);

} // namespace agent
