#include "agent/base/boot_time.hpp"

#include "agent/base/text.hpp"

#include <charconv>
#include <ctime>

#include <unistd.h>

namespace agent {

std::chrono::nanoseconds since_boot() {
    timespec time{};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

std::chrono::nanoseconds first_process_started(const Root& root) {
    const auto text = read_file(root / "/proc/1/stat");
    if (!text || !*text)
        return {};
    // proc(5): the name, field 2, may hold anything; starttime, in ticks, is field 22.
    constexpr std::size_t first = 3;
    constexpr std::size_t starttime = 22;
    const auto name_ends = (*text)->rfind(')');
    if (name_ends == std::string::npos)
        return {};
    const auto fields = split(trim((*text)->substr(name_ends + 1)), ' ');
    long long ticks = 0;
    if (fields.size() <= starttime - first)
        return {};
    const std::string& field = fields[starttime - first];
    std::from_chars(field.data(), field.data() + field.size(), ticks);
    const long long a_second = ::sysconf(_SC_CLK_TCK);
    return std::chrono::milliseconds{a_second > 0 ? ticks * 1000 / a_second : 0};
}

} // namespace agent
