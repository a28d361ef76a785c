#include "agent/report/step_log_reader.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/ports/layout.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

namespace agent {
namespace {

constexpr std::string_view suffix = ".log";
constexpr std::size_t line_limit = 4200; // of StepLog, with the time
constexpr std::size_t time_length = 20;

UniqueFd open_log(const std::filesystem::path& file) {
    return UniqueFd{::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC)};
}

Error unreadable(int errnum) {
    return system_error("reading " + std::string{layout::log_directory}, errnum);
}

// What can be read now, appended.
Result<void> read_rest(int fd, std::string& text) {
    std::array<char, 65536> buffer{};
    while (true) {
        const ssize_t count = ::read(fd, buffer.data(), buffer.size());
        if (count == 0)
            return {};
        if (count > 0)
            text.append(buffer.data(), static_cast<std::size_t>(count));
        else if (errno != EINTR)
            return unreadable(errno);
    }
}

} // namespace

StepLogReader::StepLogReader(const Root& root, std::string step)
    : root_{root}, step_{std::move(step)} {}

Result<std::vector<std::string>> StepLogReader::steps(const Root& root) {
    std::error_code failure;
    std::vector<std::string> names;
    for (const auto& file :
         std::filesystem::directory_iterator{root / layout::log_directory, failure}) {
        const std::string name = file.path().filename().string();
        if (name.ends_with(suffix) && !name.starts_with('.'))
            names.push_back(name.substr(0, name.size() - suffix.size()));
    }
    if (failure && failure != std::errc::no_such_file_or_directory)
        return unreadable(failure.value());
    std::sort(names.begin(), names.end());
    return names;
}

Result<std::vector<StepLogLine>> StepLogReader::next() {
    std::vector<std::string> names{step_};
    if (step_.empty()) {
        auto found = steps(root_);
        if (!found)
            return found.error();
        names = std::move(*found);
    }
    std::vector<StepLogLine> lines;
    for (const auto& name : names)
        if (auto done = read(name, lines); !done)
            return done.error();
    std::stable_sort(lines.begin(), lines.end(), [](const StepLogLine& a, const StepLogLine& b) {
        return a.time < b.time;
    });
    return lines;
}

Result<void> StepLogReader::read(const std::string& step, std::vector<StepLogLine>& lines) {
    Source& source = sources_[step];
    const std::filesystem::path file =
        root_ / (std::string{layout::log_directory} + "/" + step + std::string{suffix});
    std::string& text = source.begun;
    if (source.fd) {
        if (auto rest = read_rest(source.fd.get(), text); !rest)
            return rest;
    } else if (const auto replaced = open_log(file.string() + ".1")) {
        if (auto rest = read_rest(replaced.get(), text); !rest)
            return rest;
    }
    struct stat status{};
    const bool there = ::lstat(file.c_str(), &status) == 0;
    if (!there && errno != ENOENT)
        return unreadable(errno);
    if (there && S_ISREG(status.st_mode) && (!source.fd || status.st_ino != source.inode)) {
        // Once more: it may have been written to until it was replaced.
        if (source.fd)
            if (auto rest = read_rest(source.fd.get(), text); !rest)
                return rest;
        UniqueFd opened = open_log(file);
        if (!opened && errno != ENOENT)
            return unreadable(errno);
        if (opened && ::fstat(opened.get(), &status) == 0) {
            source.inode = status.st_ino;
            source.fd = std::move(opened);
            if (auto rest = read_rest(source.fd.get(), text); !rest)
                return rest;
        }
    }

    std::string_view left = text;
    for (auto end = left.find('\n'); end != std::string_view::npos; end = left.find('\n')) {
        std::string_view line = left.substr(0, end);
        left.remove_prefix(end + 1);
        if (line.size() > time_length && line[time_length] == ' ' &&
            parse_timestamp(line.substr(0, time_length))) {
            source.time = line.substr(0, time_length);
            line.remove_prefix(time_length + 1);
        }
        lines.push_back({step, source.time, printable(line, line_limit)});
    }
    // A line without an end stays for the next call, but not for ever.
    text = left.size() > line_limit ? std::string{} : std::string{left};
    return {};
}

} // namespace agent
