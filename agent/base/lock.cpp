#include "agent/base/lock.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>

namespace agent {
namespace {

struct flock whole_file(short type) {
    struct flock lock{};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return lock;
}

} // namespace

Result<std::variant<ProcessLock, ProcessLock::HeldBy>>
ProcessLock::take(const std::filesystem::path& path) {
    using Outcome = std::variant<ProcessLock, HeldBy>;
    UniqueFd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644)};
    if (!fd)
        return system_error("opening the lock " + path.string(), errno);
    while (true) {
        struct flock mine = whole_file(F_WRLCK);
        if (::fcntl(fd.get(), F_SETLK, &mine) == 0)
            return Outcome{ProcessLock{std::move(fd)}};
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EACCES)
            return system_error("locking " + path.string(), errno);
        struct flock theirs = whole_file(F_WRLCK);
        if (::fcntl(fd.get(), F_GETLK, &theirs) != 0)
            return system_error("asking who locks " + path.string(), errno);
        if (theirs.l_type != F_UNLCK)
            return Outcome{HeldBy{theirs.l_pid}};
    }
}

std::optional<pid_t> lock_holder(const std::filesystem::path& path) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd)
        return std::nullopt;
    struct flock held = whole_file(F_RDLCK);
    if (::fcntl(fd.get(), F_GETLK, &held) != 0 || held.l_type == F_UNLCK)
        return std::nullopt;
    return held.l_pid;
}

} // namespace agent
