#include "agent/base/files.hpp"

#include "agent/base/file_system.hpp"
#include "agent/base/unique_fd.hpp"

#include <cerrno>
#include <cstdlib>
#include <set>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr mode_t permission_bits = 07777;
constexpr uid_t root = 0;
// .NAME.XXXXXX.agent-tmp: no other program's temporary file is called so.
constexpr std::string_view temporary_ending = ".agent-tmp";
constexpr std::string_view random_part = ".XXXXXX"; // mkostemps(3)

Error file_error(std::string_view doing, const std::filesystem::path& path, int errnum) {
    Error error = system_error(std::string{doing} + " " + path.string(), errnum);
    if (errnum != ENOSPC && errnum != EROFS)
        return error;
    if (const auto obstacle = obstacle_to_writing(path)) {
        error.message += ": " + obstacle->message;
        error.next = obstacle->next;
    }
    return error;
}

Result<void> sync_directory(const std::filesystem::path& directory) {
    const UniqueFd fd{::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!fd || ::fsync(fd.get()) != 0)
        return file_error("syncing", directory, errno);
    return {};
}

Result<void> write_all(int fd, std::string_view content, const std::filesystem::path& path) {
    while (!content.empty()) {
        const ssize_t written = ::write(fd, content.data(), content.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return file_error("writing", path, errno);
        content.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

bool has_owner(const struct stat& status, const FileMode& mode) {
    return (mode.owner == static_cast<uid_t>(-1) || status.st_uid == mode.owner) &&
           (mode.group == static_cast<gid_t>(-1) || status.st_gid == mode.group);
}

// Fills the open temporary file and gives it its final owner and mode.
Result<void> fill(int fd,
                  const std::filesystem::path& path,
                  std::string_view content,
                  const FileMode& mode,
                  Durability durability) {
    if (auto written = write_all(fd, content, path); !written)
        return written;
    if ((mode.owner != static_cast<uid_t>(-1) || mode.group != static_cast<gid_t>(-1)) &&
        ::fchown(fd, mode.owner, mode.group) != 0)
        return file_error("changing the owner of", path, errno);
    if (::fchmod(fd, mode.mode) != 0)
        return file_error("changing the mode of", path, errno);
    if (durability == Durability::durable && ::fsync(fd) != 0)
        return file_error("syncing", path, errno);
    return {};
}

bool is_temporary(std::string_view name) {
    if (!name.starts_with('.') || !name.ends_with(temporary_ending))
        return false;
    name.remove_suffix(temporary_ending.size());
    return name.size() > 1 + random_part.size() && name[name.size() - random_part.size()] == '.';
}

// What a process that was killed, or a power cut, has left in a directory that we write to. Looked
// for once a process; whoever is still writing holds a lock on his.
void remove_left_overs(const std::filesystem::path& directory) {
    static std::set<std::filesystem::path> looked_at;
    if (!looked_at.insert(directory).second)
        return;
    std::error_code failure;
    std::filesystem::directory_iterator entry{directory, failure};
    for (; !failure && entry != std::filesystem::directory_iterator{}; entry.increment(failure)) {
        if (!is_temporary(entry->path().filename().string()))
            continue;
        const UniqueFd fd{
            ::open(entry->path().c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)};
        if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0)
            ::unlink(entry->path().c_str());
    }
}

// Copies to the end of the one descriptor what the other one gives, and syncs it.
Result<void> copy_bytes(int from_fd,
                        int to_fd,
                        const std::filesystem::path& from,
                        const std::filesystem::path& to,
                        std::size_t limit) {
    std::size_t total = 0;
    std::vector<char> buffer(1 << 17);
    while (true) {
        const ssize_t count = ::read(from_fd, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return file_error("reading", from, errno);
        if (count == 0)
            break;
        total += static_cast<std::size_t>(count);
        if (total > limit)
            return permanent("copying " + from.string() + ": larger than " + std::to_string(limit) +
                             " bytes");
        if (auto written = write_all(to_fd, {buffer.data(), static_cast<std::size_t>(count)}, to);
            !written)
            return written;
    }
    if (::fsync(to_fd) != 0)
        return file_error("syncing", to, errno);
    return {};
}

} // namespace

std::filesystem::path Root::operator/(std::string_view absolute) const {
    while (absolute.starts_with('/'))
        absolute.remove_prefix(1);
    return base_ / absolute;
}

Result<void> durable_write(const std::filesystem::path& path,
                           std::string_view content,
                           FileMode mode,
                           Durability durability) {
    remove_left_overs(path.parent_path());
    std::string temporary =
        path.parent_path() /
        ("." + path.filename().string() + std::string{random_part} + std::string{temporary_ending});
    UniqueFd fd{
        ::mkostemps(temporary.data(), static_cast<int>(temporary_ending.size()), O_CLOEXEC)};
    if (!fd)
        return file_error("creating a file beside", path, errno);
    ::flock(fd.get(), LOCK_EX | LOCK_NB);
    auto result = fill(fd.get(), path, content, mode, durability);
    if (result && ::close(fd.release()) != 0)
        result = file_error("closing", path, errno);
    if (result && ::rename(temporary.c_str(), path.c_str()) != 0)
        result = file_error("renaming into place", path, errno);
    if (!result) {
        ::unlink(temporary.c_str());
        return result;
    }
    return durability == Durability::durable ? sync_directory(path.parent_path()) : Result<void>{};
}

Result<std::optional<std::string>>
read_file(const std::filesystem::path& path, std::size_t limit, Writers writers) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd && (errno == ENOENT || errno == ENOTDIR))
        return std::optional<std::string>{};
    if (!fd && errno == ELOOP)
        return permanent("reading " + path.string() + ": it is a symbolic link");
    if (!fd)
        return file_error("reading", path, errno);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0)
        return file_error("reading", path, errno);
    if (!S_ISREG(status.st_mode))
        return permanent("reading " + path.string() + ": not a regular file");
    if (writers == Writers::ourselves && status.st_uid != root && status.st_uid != ::geteuid())
        return permanent("reading " + path.string() + ": it belongs to the user with the number " +
                         std::to_string(status.st_uid));
    if (writers == Writers::ourselves && (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return permanent("reading " + path.string() + ": others than its owner may write it");
    std::string content;
    char buffer[16384];
    while (true) {
        const ssize_t count = ::read(fd.get(), buffer, sizeof buffer);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return file_error("reading", path, errno);
        if (count == 0)
            return std::optional{std::move(content)};
        content.append(buffer, static_cast<std::size_t>(count));
        if (content.size() > limit)
            return permanent("reading " + path.string() + ": larger than " + std::to_string(limit) +
                             " bytes");
    }
}

Result<void> ensure_directory(const std::filesystem::path& path, FileMode mode) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) {
        if (errno != ENOENT)
            return file_error("looking at", path, errno);
        if (path.has_parent_path() && path.parent_path() != path)
            if (::access(path.parent_path().c_str(), F_OK) != 0)
                if (auto made = ensure_directory(path.parent_path(), {.mode = 0755}); !made)
                    return made;
        if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
            return file_error("making", path, errno);
    } else if (!S_ISDIR(status.st_mode)) {
        return permanent("making " + path.string() + ": something else is there",
                         "move it away, then `agent retry`");
    } else if ((status.st_mode & permission_bits) == mode.mode && has_owner(status, mode)) {
        return {};
    }
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd)
        return file_error("opening", path, errno);
    if ((mode.owner != static_cast<uid_t>(-1) || mode.group != static_cast<gid_t>(-1)) &&
        ::fchown(fd.get(), mode.owner, mode.group) != 0)
        return file_error("changing the owner of", path, errno);
    if (::fchmod(fd.get(), mode.mode) != 0)
        return file_error("changing the mode of", path, errno);
    return sync_directory(path.parent_path());
}

bool file_is(const std::filesystem::path& path, std::string_view content, const FileMode& mode) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode))
        return false;
    if ((status.st_mode & permission_bits) != mode.mode || !has_owner(status, mode))
        return false;
    const auto found = read_file(path);
    return found && *found && **found == content;
}

Result<void> sync_file(const std::filesystem::path& path) {
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC)};
    if (!fd || ::fsync(fd.get()) != 0)
        return file_error("syncing", path, errno);
    return {};
}

Result<void> copy_untrusted(const std::filesystem::path& from,
                            const std::filesystem::path& to,
                            std::size_t limit) {
    const UniqueFd source{::open(from.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)};
    struct stat status{};
    if (!source || ::fstat(source.get(), &status) != 0)
        return file_error("reading", from, errno);
    if (!S_ISREG(status.st_mode))
        return permanent("reading " + from.string() + ": not a regular file");
    ::unlink(to.c_str());
    const UniqueFd target{
        ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (!target)
        return file_error("creating", to, errno);
    auto copied = copy_bytes(source.get(), target.get(), from, to, limit);
    if (!copied)
        ::unlink(to.c_str());
    return copied;
}

Result<void> remove_file(const std::filesystem::path& path) {
    if (::unlink(path.c_str()) != 0)
        return errno == ENOENT ? Result<void>{} : file_error("removing", path, errno);
    return sync_directory(path.parent_path());
}

} // namespace agent
