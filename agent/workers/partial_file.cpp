#include "agent/workers/partial_file.hpp"

#include "agent/base/file_system.hpp"
#include "agent/base/files.hpp"
#include "agent/base/text.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::size_t read_at_once = 1 << 20;
constexpr unsigned reads_a_call = 4;
constexpr std::uint64_t written_out_at = 8 << 20;
const char* const make_room = "free disk space or grow the disk (df -h), then `agent retry`";

Result<UniqueFd> open_partial(const std::filesystem::path& path) {
    UniqueFd fd{::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600)};
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0)
        return write_failure(path, 0, errno);
    if (!S_ISREG(status.st_mode) || status.st_nlink > 1)
        return permanent("opening " + path.string() + ": it is no plain file",
                         "remove it, then `agent retry`");
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0)
        return transient("opening " + path.string() + ": another download holds it");
    return fd;
}

std::uint64_t free_for_us(const FileSystem& found) {
    return ::geteuid() == 0 ? found.free_bytes : found.free_bytes_of_users;
}

// Whether what is at `path` is what `fd` has open.
bool is_at(int fd, const std::filesystem::path& path) {
    struct stat held{};
    struct stat found{};
    return ::fstat(fd, &held) == 0 && ::lstat(path.c_str(), &found) == 0 &&
           held.st_ino == found.st_ino && held.st_dev == found.st_dev;
}

// durable_write()'s temporary files have names of their own each.
void remove_what_a_kill_left(const std::filesystem::path& directory, const std::string& prefix) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{directory, ignored})
        if (entry.path().filename().string().starts_with(prefix))
            ::unlink(entry.path().c_str());
}

} // namespace

PartialFile::PartialFile(std::filesystem::path directory, std::string name, UniqueFd fd)
    : directory_{std::move(directory)}, name_{std::move(name)}, fd_{std::move(fd)} {}

std::filesystem::path PartialFile::beside(std::string_view end) const {
    return directory_ / (name_ + std::string{end});
}

Result<PartialFile> PartialFile::open(std::filesystem::path directory, std::string name) {
    const auto path = directory / (name + ".part");
    auto fd = open_partial(path);
    if (!fd)
        return fd.error();
    // Whoever held the lock before us may have finished the file and renamed it.
    if (!is_at(fd->get(), path))
        return transient("opening " + path.string() + ": another download has just ended");
    remove_what_a_kill_left(directory, "." + name + ".state.");
    return PartialFile{std::move(directory), std::move(name), std::move(*fd)};
}

Result<std::optional<std::uint64_t>> PartialFile::finished(std::string_view sha256) const {
    const auto path = beside("");
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    if (!fd && errno == ENOENT)
        return std::optional<std::uint64_t>{};
    struct stat status{};
    if (fd && ::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode)) {
        const auto digest = sha256_hex_of_fd(fd.get());
        if (!digest)
            return digest.error();
        if (*digest == sha256)
            return std::optional{static_cast<std::uint64_t>(status.st_size)};
    }
    if (auto removed = remove_file(path); !removed)
        return removed.error();
    return std::optional<std::uint64_t>{};
}

std::optional<DownloadState> PartialFile::earlier() const {
    const auto text = read_file(beside(".state"), 65'536);
    if (!text || !*text)
        return std::nullopt;
    auto state = read_state(**text);
    struct stat status{};
    if (!state || state->have.empty() || ::fstat(fd_.get(), &status) != 0 ||
        state->have.back().to > static_cast<std::uint64_t>(status.st_size))
        return std::nullopt;
    return state;
}

bool PartialFile::begins_like_html() const {
    std::array<char, 256> start{};
    const ssize_t count = ::pread(fd_.get(), start.data(), start.size(), 0);
    const std::string text =
        lower(trim({start.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0))}));
    return text.starts_with("<!doctype html") || text.starts_with("<html");
}

Error PartialFile::out_of_room(std::uint64_t need, int errnum) {
    is_out_of_room_ = errnum == ENOSPC || errnum == EDQUOT;
    return write_failure(beside(".part"), need, errnum);
}

Result<void> PartialFile::reserve(std::uint64_t size) {
    if (reserved_ == size)
        return {};
    struct stat status{};
    if (::fstat(fd_.get(), &status) != 0)
        return system_error("looking at " + beside(".part").string(), errno);
    constexpr std::uint64_t block = 512; // st_blocks' unit, whatever the file system's
    const std::uint64_t there = static_cast<std::uint64_t>(status.st_blocks) * block;
    const std::uint64_t need = size > there ? size - there : 0;
    const auto found = file_system_of(directory_);
    if (!found)
        return found.error();
    if (need > free_for_us(*found))
        return out_of_room(need, ENOSPC);
    if (size > 0 && ::fallocate(fd_.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) != 0 &&
        (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        return out_of_room(need, errno);
    reserved_ = size;
    return {};
}

Result<void> PartialFile::write(std::uint64_t offset, std::string_view bytes) {
    const bool at_front = offset == hashed_;
    const std::string_view whole = bytes;
    while (!bytes.empty()) {
        const ssize_t count =
            ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return out_of_room(bytes.size(), errno);
        offset += static_cast<std::uint64_t>(count);
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    if (at_front) {
        sha256_.add(whole);
        hashed_ += whole.size();
    }
    not_on_its_way_ += whole.size();
    if (not_on_its_way_ >= written_out_at) {
        // A hint: the checkpoint's fdatasync(2) then has little left to wait for.
        ::sync_file_range(fd_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
        not_on_its_way_ = 0;
    }
    return {};
}

Result<bool> PartialFile::hash_towards(std::uint64_t front) {
    std::vector<char> buffer;
    for (unsigned i = 0; i < reads_a_call && hashed_ < front; ++i) {
        buffer.resize(read_at_once);
        const auto wanted = std::min<std::uint64_t>(front - hashed_, buffer.size());
        const ssize_t count =
            ::pread(fd_.get(), buffer.data(), wanted, static_cast<off_t>(hashed_));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error("reading " + beside(".part").string(), errno);
        if (count == 0)
            return permanent("reading " + beside(".part").string() +
                             ": it has become shorter while it was written");
        sha256_.add({buffer.data(), static_cast<std::size_t>(count)});
        hashed_ += static_cast<std::uint64_t>(count);
    }
    return hashed_ >= front;
}

Result<void> PartialFile::checkpoint(const std::optional<DownloadState>& state) {
    if (!state)
        return {};
    if (::fdatasync(fd_.get()) != 0)
        return system_error("syncing " + beside(".part").string(), errno);
    [[maybe_unused]] const auto written =
        durable_write(beside(".state"), write_state(*state), {.mode = 0600});
    return {};
}

Result<void> PartialFile::start_again() {
    if (auto removed = remove_file(beside(".state")); !removed)
        return removed;
    if (::ftruncate(fd_.get(), 0) != 0)
        return system_error("emptying " + beside(".part").string(), errno);
    sha256_ = Sha256{};
    hashed_ = 0;
    reserved_.reset();
    return {};
}

Result<void> PartialFile::reject() {
    if (auto removed = remove_file(beside(".state")); !removed)
        return removed;
    if (::rename(beside(".part").c_str(), beside(".rejected").c_str()) != 0)
        return system_error("setting " + beside(".part").string() + " aside", errno);
    auto fresh = open_partial(beside(".part"));
    if (!fresh)
        return fresh.error();
    fd_ = std::move(*fresh);
    return start_again();
}

Result<void> PartialFile::discard() {
    if (auto removed = remove_file(beside(".state")); !removed)
        return removed;
    return remove_file(beside(".part"));
}

Result<void> PartialFile::finish() {
    if (::ftruncate(fd_.get(), static_cast<off_t>(hashed_)) != 0)
        return system_error("cutting " + beside(".part").string(), errno);
    if (::fsync(fd_.get()) != 0)
        return system_error("syncing " + beside(".part").string(), errno);
    if (::rename(beside(".part").c_str(), beside("").c_str()) != 0)
        return system_error("renaming " + beside(".part").string() + " into place", errno);
    if (auto removed = remove_file(beside(".state")); !removed)
        return removed;
    const UniqueFd directory{::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory || ::fsync(directory.get()) != 0)
        return system_error("syncing " + directory_.string(), errno);
    return {};
}

Error write_failure(const std::filesystem::path& path, std::uint64_t need, int errnum) {
    const std::string doing = "writing " + path.string();
    if (errnum == EDQUOT)
        return permanent(doing + ": the user's disk quota is used up", make_room);
    if (errnum != ENOSPC)
        return system_error(doing, errnum);
    const auto found = file_system_of(path.parent_path());
    if (!found)
        return permanent(doing + ": the disk is full", make_room);
    const std::uint64_t room = free_for_us(*found);
    if (found->inodes > 0 && found->free_inodes == 0)
        return permanent(doing + ": the file system has no free inodes, though " +
                             shown_bytes(room) + " are free",
                         "remove files that nobody needs (df -i), then `agent retry`");
    return permanent(doing + ": the disk is full: it needs " + std::to_string(need) +
                         " bytes more (" + shown_bytes(need) + "), " + std::to_string(room) +
                         " are free (" + shown_bytes(room) + ")",
                     make_room);
}

} // namespace agent
