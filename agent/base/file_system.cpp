#include "agent/base/file_system.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"

#include <cerrno>
#include <system_error>

#include <sys/stat.h>
#include <sys/statvfs.h>

namespace agent {
namespace {

constexpr std::uint64_t next_to_nothing = 64 * 1024; // what a file system may keep to itself
constexpr std::size_t mounts_limit = 4 << 20;

// The nearest that exists of a path and its parents.
Result<std::filesystem::path> existing(std::filesystem::path place, struct stat& status) {
    while (::stat(place.c_str(), &status) != 0) {
        if ((errno != ENOENT && errno != ENOTDIR) || !place.has_relative_path())
            return system_error("looking at " + place.string(), errno);
        place = place.parent_path();
    }
    return place;
}

// proc(5): a space, a tab, a newline and a backslash are written as \040 and so on.
std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] == '\\' && at + 3 < text.size()) {
            out += static_cast<char>((text[at + 1] - '0') * 64 + (text[at + 2] - '0') * 8 +
                                     (text[at + 3] - '0'));
            at += 3;
        } else {
            out += text[at];
        }
    }
    return out;
}

bool is_within(const std::string& path, const std::string& directory) {
    return directory == "/" || path == directory || path.starts_with(directory + "/");
}

} // namespace

Result<FileSystem> file_system_of(const std::filesystem::path& path) {
    struct stat status{};
    const auto place = existing(path, status);
    if (!place)
        return place.error();
    struct statvfs space{};
    if (::statvfs(place->c_str(), &space) != 0)
        return system_error("asking for the free space at " + place->string(), errno);
    FileSystem found;
    found.id = status.st_dev;
    found.bytes = std::uint64_t{space.f_blocks} * space.f_frsize;
    found.free_bytes = std::uint64_t{space.f_bfree} * space.f_frsize;
    found.free_bytes_of_users = std::uint64_t{space.f_bavail} * space.f_frsize;
    found.inodes = space.f_files;
    found.free_inodes = space.f_ffree;
    found.read_only = (space.f_flag & ST_RDONLY) != 0;
    return found;
}

std::filesystem::path mount_point_of(const std::filesystem::path& path) {
    std::error_code failure;
    const std::string whole = std::filesystem::weakly_canonical(path, failure).string();
    const auto mounts = read_file("/proc/self/mountinfo", mounts_limit);
    std::string found = "/";
    if (failure || !mounts || !*mounts)
        return found;
    for (const auto& line : split(**mounts, '\n')) {
        const auto fields = split(line, ' '); // id, parent, device, root, mount point, …
        if (fields.size() < 5)
            continue;
        const std::string point = unescaped(fields[4]);
        if (is_within(whole, point) && point.size() >= found.size())
            found = point;
    }
    return found;
}

std::optional<Error> obstacle_to_writing(const FileSystem& file_system,
                                         const std::filesystem::path& mount_point) {
    const std::string where = mount_point.string();
    if (file_system.read_only)
        return permanent(where + " is mounted read-only (ro)",
                         "see `findmnt " + where +
                             "` and `dmesg` for the reason, then `mount -o "
                             "remount,rw " +
                             where + "` and `agent retry`");
    if (file_system.inodes > 0 && file_system.free_inodes == 0)
        return permanent(
            where + " has no free inodes: it holds " + std::to_string(file_system.inodes) +
                " files, which is the most it can",
            "remove files that are not needed (`df -i " + where + "`), then `agent retry`");
    // Not what is free to root: ext4 counts clusters among it that it gives to nobody.
    const std::uint64_t free = file_system.free_bytes_of_users;
    if (file_system.bytes > 0 && free < next_to_nothing)
        return permanent(where + " is full: " + std::to_string(free / 1024) + " of " +
                             std::to_string(file_system.bytes / 1024) + " KiB are free",
                         "free space (`df -h " + where +
                             "`) or make the disk larger, then `agent retry`");
    return std::nullopt;
}

std::optional<Error> obstacle_to_writing(const std::filesystem::path& path) {
    const auto found = file_system_of(path);
    return found ? obstacle_to_writing(*found, mount_point_of(path)) : std::nullopt;
}

} // namespace agent
