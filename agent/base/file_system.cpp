#include "agent/base/file_system.hpp"

#include <cerrno>

#include <sys/stat.h>
#include <sys/statvfs.h>

namespace agent {

Result<FileSystem> file_system_of(const std::filesystem::path& path) {
    std::filesystem::path place = path;
    struct stat status{};
    while (::stat(place.c_str(), &status) != 0) {
        if ((errno != ENOENT && errno != ENOTDIR) || !place.has_relative_path())
            return system_error("looking at " + place.string(), errno);
        place = place.parent_path();
    }
    struct statvfs space{};
    if (::statvfs(place.c_str(), &space) != 0)
        return system_error("asking for the free space at " + place.string(), errno);
    FileSystem found;
    found.id = status.st_dev;
    found.bytes = std::uint64_t{space.f_blocks} * space.f_frsize;
    found.free_bytes = std::uint64_t{space.f_bfree} * space.f_frsize;
    found.free_bytes_of_users = std::uint64_t{space.f_bavail} * space.f_frsize;
    found.inodes = space.f_files;
    found.free_inodes = space.f_ffree;
    return found;
}

} // namespace agent
