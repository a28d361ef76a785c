#include "agent/report/step_log.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/layout.hpp"

#include <fcntl.h>
#include <sys/stat.h>

namespace agent {
namespace {

constexpr off_t size_limit = 1 << 20;
constexpr std::size_t line_limit = 4096;
constexpr gid_t adm = 4; // fixed by Debian's base-passwd

} // namespace

void StepLog::line(std::string_view step, std::string_view text) {
    const auto directory = root_ / layout::log_directory;
    if (!ensure_directory(directory, {.mode = 02750, .group = adm}))
        return;
    const auto file = directory / (std::string{step} + ".log");
    struct stat status{};
    if (::lstat(file.c_str(), &status) == 0 && status.st_size > size_limit)
        ::rename(file.c_str(), (file.string() + ".1").c_str());
    const UniqueFd fd{
        ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640)};
    if (!fd)
        return;
    const std::string out = timestamp(clock_.wall()) + " " + printable(text, line_limit) + "\n";
    [[maybe_unused]] const auto written = ::write(fd.get(), out.data(), out.size());
}

} // namespace agent
