#include "agent/host/device_terminals.hpp"

#include "agent/base/unique_fd.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

bool is_number(std::string_view text) {
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// tty1, ttyS0: not tty itself, nor console.
bool is_console(std::string_view name) {
    if (!name.starts_with("tty"))
        return false;
    name.remove_prefix(3);
    if (name.starts_with('S'))
        name.remove_prefix(1);
    return is_number(name);
}

std::vector<std::string> names_in(const std::filesystem::path& directory) {
    std::vector<std::string> names;
    std::error_code failed;
    for (std::filesystem::directory_iterator entry{directory, failed}, end; !failed && entry != end;
         entry.increment(failed))
        names.push_back(entry->path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::optional<struct stat> character_device(const std::filesystem::path& path) {
    struct stat found{};
    if (::stat(path.c_str(), &found) != 0 || !S_ISCHR(found.st_mode))
        return std::nullopt;
    return found;
}

WallTime last_read(const struct stat& device) {
    const auto since_epoch = std::chrono::seconds{device.st_atim.tv_sec} +
                             std::chrono::nanoseconds{device.st_atim.tv_nsec};
    return WallTime{std::chrono::duration_cast<WallTime::duration>(since_epoch)};
}

} // namespace

std::vector<Terminal> DeviceTerminals::open() const {
    std::vector<Terminal> terminals;
    for (const auto& name : names_in(root_ / "/dev/pts"))
        if (const auto device = character_device(root_ / ("/dev/pts/" + name));
            device && is_number(name))
            terminals.push_back({"pts/" + name, last_read(*device)});
    for (const auto& name : names_in(root_ / "/dev")) {
        if (!is_console(name))
            continue;
        // login(1) gives it to whoever has logged in; before and after it is root's.
        if (const auto device = character_device(root_ / ("/dev/" + name));
            device && device->st_uid != 0)
            terminals.push_back({name, last_read(*device)});
    }
    return terminals;
}

void DeviceTerminals::tell_all(std::string_view text) {
    std::string lines = "\r\n";
    for (const char c : text)
        lines += c == '\n' ? std::string{"\r\n"} : std::string{c};
    for (const auto& terminal : open()) {
        const UniqueFd fd{::open((root_ / ("/dev/" + terminal.line)).c_str(),
                                 O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
        if (fd)
            (void)!::write(fd.get(), lines.data(), lines.size());
    }
}

} // namespace agent
