#include "agent/workers/adopt.hpp"

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/base/log.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/download.hpp"
#include "agent/workers/partial_file.hpp"
#include "agent/workers/work.hpp"

#include <algorithm>
#include <cerrno>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::size_t order_limit = 65'536;
constexpr std::size_t piece = 1 << 20;
constexpr int wrong_usage = 64;

Error not_it(const AdoptOrder& order, const std::string& digest, std::uint64_t size) {
    return permanent("expected sha256 " + order.sha256 + ", got " + digest + ", " +
                     std::to_string(size) + " of " + std::to_string(order.size) + " bytes");
}

Result<UniqueFd> open_file(const std::filesystem::path& path) {
    UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0)
        return system_error("reading " + path.string(), errno);
    if (!S_ISREG(status.st_mode))
        return permanent("reading " + path.string() + ": it is no plain file");
    return fd;
}

Result<void> write_all(int fd, std::string_view bytes, const std::filesystem::path& path) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(fd, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return write_failure(path, bytes.size(), errno);
        bytes.remove_prefix(static_cast<std::size_t>(count));
    }
    return {};
}

Result<std::uint64_t> look(const AdoptOrder& order) {
    const auto fd = open_file(order.to);
    if (!fd)
        return fd.error();
    struct stat status{};
    if (::fstat(fd->get(), &status) != 0)
        return system_error("reading " + order.to.string(), errno);
    const auto digest = sha256_hex_of_fd(fd->get());
    if (!digest)
        return digest.error();
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (*digest != order.sha256)
        return not_it(order, *digest, size);
    if (status.st_uid != ::geteuid() || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return permanent(order.to.string() + " can be written by others");
    return size;
}

// One byte more than is expected is read, so that a longer file is seen as one.
Result<void> copy_verified(int from, int to, const AdoptOrder& order) {
    Sha256 sha256;
    std::uint64_t size = 0;
    std::vector<char> buffer(piece);
    while (size <= order.size) {
        const auto wanted = std::min<std::uint64_t>(buffer.size(), order.size + 1 - size);
        const ssize_t count = ::read(from, buffer.data(), wanted);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error("reading " + order.from.string(), errno);
        if (count == 0)
            break;
        const std::string_view bytes{buffer.data(), static_cast<std::size_t>(count)};
        if (auto written = write_all(to, bytes, order.to); !written)
            return written;
        sha256.add(bytes);
        size += bytes.size();
    }
    const std::string digest = sha256.hex();
    if (size != order.size || digest != order.sha256)
        return not_it(order, digest, size);
    return {};
}

Result<void> put_into_place(const UniqueFd& copy,
                            const std::filesystem::path& temporary,
                            const AdoptOrder& order) {
    if (::fchmod(copy.get(), order.mode) != 0)
        return system_error("changing the mode of " + temporary.string(), errno);
    if (::fsync(copy.get()) != 0)
        return system_error("syncing " + temporary.string(), errno);
    if (::rename(temporary.c_str(), order.to.c_str()) != 0)
        return system_error("renaming into place " + order.to.string(), errno);
    const auto parent = order.to.parent_path();
    const UniqueFd directory{::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory || ::fsync(directory.get()) != 0)
        return system_error("syncing " + parent.string(), errno);
    return {};
}

Result<std::uint64_t> adopt(const AdoptOrder& order) {
    const auto source = open_file(order.from);
    if (!source)
        return source.error();
    const auto temporary =
        order.to.parent_path() / ("." + order.to.filename().string() + ".adopted");
    if (auto removed = remove_file(temporary); !removed)
        return removed.error();
    const UniqueFd copy{
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600)};
    if (!copy)
        return write_failure(temporary, order.size, errno);
    Result<void> done{};
    if (order.size > 0 &&
        ::fallocate(copy.get(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(order.size)) != 0 &&
        errno == ENOSPC)
        done = write_failure(temporary, order.size, ENOSPC);
    if (done)
        done = copy_verified(source->get(), copy.get(), order);
    if (done)
        done = put_into_place(copy, temporary, order);
    if (done)
        return order.size;
    ::unlink(temporary.c_str());
    return done.error();
}

} // namespace

int adopt_worker(std::istream& input, std::ostream& output) {
    const auto order = read_adopt_order(read_input(input, order_limit));
    if (!order) {
        log::error(order.error().message);
        return wrong_usage;
    }
    const auto done = order->from.empty() ? look(*order) : adopt(*order);
    DownloadOutcome outcome;
    if (done)
        outcome.size = *done;
    else
        outcome.error = context(done.error(), "taking over " + order->to.string());
    output << write_line(outcome) << '\n' << std::flush;
    return 0;
}

int adopt_worker() {
    return adopt_worker(std::cin, std::cout);
}

} // namespace agent
