// Owns the question how much room there is where a path lies, and whether it can be written there.
#pragma once

#include "agent/base/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>

#include <sys/types.h>

namespace agent {

struct FileSystem {
    dev_t id = 0; // the same for all paths on it
    std::uint64_t bytes = 0;
    std::uint64_t free_bytes = 0;          // to root
    std::uint64_t free_bytes_of_users = 0; // what is reserved for root is not theirs
    std::uint64_t inodes = 0;              // 0: it makes them as it needs them
    std::uint64_t free_inodes = 0;
    bool read_only = false; // as mounted
};

// Of a path that need not exist: its nearest parent's that does.
[[nodiscard]] Result<FileSystem> file_system_of(const std::filesystem::path& path);

// Where the file system of an existing path is mounted; "/" when that cannot be told.
[[nodiscard]] std::filesystem::path mount_point_of(const std::filesystem::path& path);

// Why nobody can write where the path lies (it is mounted read-only, or full, or has no inode
// left), with what to do about it; nullopt when somebody could.
[[nodiscard]] std::optional<Error> obstacle_to_writing(const std::filesystem::path& path);
[[nodiscard]] std::optional<Error> obstacle_to_writing(const FileSystem& file_system,
                                                       const std::filesystem::path& mount_point);

} // namespace agent
