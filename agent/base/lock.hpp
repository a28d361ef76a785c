// Owns the lock by which only one process runs something, and the question who holds it.
// A POSIX record lock (fcntl): the kernel gives it back when its holder dies, however it dies.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/unique_fd.hpp"

#include <filesystem>
#include <optional>
#include <utility>
#include <variant>

#include <sys/types.h>

namespace agent {

// Held until it is destroyed. The holder must not open and close the same file by another way (also
// not with lock_holder): a record lock is lost with the first descriptor that its process closes.
class ProcessLock {
public:
    struct HeldBy {
        pid_t pid = 0; // 0: not visible from here
    };
    // Creates the file, 0644, when there is none; its directory must exist. Never waits.
    [[nodiscard]] static Result<std::variant<ProcessLock, HeldBy>>
    take(const std::filesystem::path& path);

private:
    explicit ProcessLock(UniqueFd fd) : fd_{std::move(fd)} {}
    UniqueFd fd_;
};

// Who holds the lock, for any user who may read the file; nullopt: nobody, or there is no such
// file. Never takes it.
[[nodiscard]] std::optional<pid_t> lock_holder(const std::filesystem::path& path);

} // namespace agent
