// Owns files as state: Root (every path of ours lies under it) and the one durable way to write.
#pragma once

#include "agent/base/error.hpp"

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace agent {

// The tree that we provision: "/" on a VM, a temporary directory in tests.
class Root {
public:
    explicit Root(std::filesystem::path base = "/") : base_{std::move(base)} {}
    // `absolute` as seen by the machine ("/etc/agent/agent.toml") → where it lies now.
    [[nodiscard]] std::filesystem::path operator/(std::string_view absolute) const;

private:
    std::filesystem::path base_;
};

struct FileMode {
    mode_t mode = 0644;
    uid_t owner = static_cast<uid_t>(-1); // -1: leave as created
    gid_t group = static_cast<gid_t>(-1);
};

enum class Durability {
    durable,   // survives a power cut once the call has returned
    ephemeral, // for /run: atomic, not synced
};

// Whole-file atomic replacement: a temporary file created 0600 in the same directory, given owner
// and mode, written, fsync, rename, fsync of the directory. On failure the old file is untouched
// and the temporary file is gone. A failed fsync is a failed write and is not retried. What a
// killed process has left of such files in the directory is removed by the first write there of the
// next.
[[nodiscard]] Result<void> durable_write(const std::filesystem::path& path,
                                         std::string_view content,
                                         FileMode mode = {},
                                         Durability durability = Durability::durable);

enum class Writers {
    anybody,
    ourselves, // what others than root and our own user own or may write is refused
};

// nullopt when there is none. Refuses what is no regular file and what is larger than `limit`,
// never blocks on a FIFO, never follows a symbolic link in the last component.
[[nodiscard]] Result<std::optional<std::string>> read_file(const std::filesystem::path& path,
                                                           std::size_t limit = 1 << 20,
                                                           Writers writers = Writers::anybody);

// Makes the directory (and its parents, 0755 root); an existing one gets mode and owner only when
// they differ. Refuses a symbolic link.
[[nodiscard]] Result<void> ensure_directory(const std::filesystem::path& path, FileMode mode);

// Whether path is a regular file (no link) with this content, owner, group and mode: a step's
// check.
[[nodiscard]] bool
file_is(const std::filesystem::path& path, std::string_view content, const FileMode& mode);

// Makes what another program wrote there durable.
[[nodiscard]] Result<void> sync_file(const std::filesystem::path& path);

// Copies a regular file of at most `limit` bytes that somebody else may own and change meanwhile;
// the copy is made 0600 and durable, and gone when it failed. Refuses links, FIFOs and devices.
[[nodiscard]] Result<void> copy_untrusted(const std::filesystem::path& from,
                                          const std::filesystem::path& to,
                                          std::size_t limit);

// Durable removal; absence is success.
[[nodiscard]] Result<void> remove_file(const std::filesystem::path& path);

} // namespace agent
