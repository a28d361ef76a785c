#include "agent/host/lineage.hpp"

#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

template <class Number> std::optional<Number> number_in(std::string_view text) {
    Number number{};
    const auto [rest, failed] = std::from_chars(text.begin(), text.end(), number);
    if (failed != std::errc{} || rest != text.end())
        return std::nullopt;
    return number;
}

std::string content_of(pid_t pid, const char* file) {
    std::ifstream stream{"/proc/" + std::to_string(pid) + "/" + file, std::ios::binary};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

// proc(5): "pid (comm) state ppid …"; comm may hold anything, so the fields count from its end.
std::optional<std::uint64_t> start_of(pid_t pid) {
    const std::string stat = content_of(pid, "stat");
    const auto comm_ends = stat.rfind(')');
    if (comm_ends == std::string::npos)
        return std::nullopt;
    const auto fields = split(std::string_view{stat}.substr(comm_ends + 1), ' ');
    constexpr std::size_t starttime = 22 - 2; // the first of them is empty, state is field 3
    return fields.size() > starttime ? number_in<std::uint64_t>(fields[starttime]) : std::nullopt;
}

std::string lineage_of(pid_t pid) {
    const std::string wanted = std::string{lineage_variable} + "=";
    for (const auto& assignment : split(content_of(pid, "environ"), '\0'))
        if (assignment.starts_with(wanted))
            return assignment.substr(wanted.size());
    return {};
}

// Whether the process that the mark names is no more.
bool is_orphaned(std::string_view lineage) {
    const auto parts = split(lineage, '.');
    if (parts.size() != 3)
        return false;
    const auto pid = number_in<pid_t>(parts[0]);
    const auto start = number_in<std::uint64_t>(parts[1]);
    return pid && start && start_of(*pid) != start;
}

// A mark's process id means something in the namespace alone in which it was given: what runs in a
// container is another agent's.
bool is_in_our_namespace(const std::filesystem::path& process) {
    std::error_code failure;
    const auto theirs = std::filesystem::read_symlink(process / "ns/pid", failure);
    return !failure && theirs == std::filesystem::read_symlink("/proc/self/ns/pid", failure);
}

template <class Predicate> std::vector<pid_t> processes_whose_lineage(Predicate fits) {
    std::vector<pid_t> found;
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc", failure}) {
        const auto pid = number_in<pid_t>(entry.path().filename().native());
        if (!pid || *pid == ::getpid())
            continue;
        const std::string lineage = lineage_of(*pid);
        if (!lineage.empty() && is_in_our_namespace(entry.path()) && fits(lineage))
            found.push_back(*pid);
    }
    return found;
}

struct Orphan {
    UniqueFd fd; // a pidfd: no other process can come to be meant by it
    std::string name;
};

std::vector<Orphan> orphans() {
    std::vector<Orphan> found;
    for (const pid_t pid : processes_whose_lineage(is_orphaned)) {
        UniqueFd fd{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
        if (!fd || !is_orphaned(lineage_of(pid)))
            continue;
        const std::string comm = content_of(pid, "comm");
        found.push_back(
            {std::move(fd), printable(trim(comm), 32) + " (" + std::to_string(pid) + ")"});
    }
    return found;
}

bool has_ended(const Orphan& orphan) {
    pollfd ended{.fd = orphan.fd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, 0) == 1;
}

void signal_all(const std::vector<Orphan>& orphans, int number) {
    for (const auto& orphan : orphans)
        ::syscall(SYS_pidfd_send_signal, orphan.fd.get(), number, nullptr, 0);
}

// True once all have ended.
bool wait_for(const std::vector<Orphan>& orphans, steady_clock::time_point until) {
    while (!std::all_of(orphans.begin(), orphans.end(), has_ended)) {
        if (steady_clock::now() >= until)
            return false;
        ::poll(nullptr, 0, 20);
    }
    return true;
}

} // namespace

std::string new_lineage() {
    static const std::string process =
        std::to_string(::getpid()) + "." + std::to_string(start_of(::getpid()).value_or(0)) + ".";
    static std::uint64_t commands = 0;
    return process + std::to_string(++commands);
}

void signal_lineage(std::string_view lineage, int number) {
    const auto is_it = [lineage](std::string_view other) { return other == lineage; };
    for (const pid_t pid : processes_whose_lineage(is_it))
        ::kill(pid, number);
}

std::vector<std::string> end_left_behind(milliseconds grace) {
    std::vector<std::string> names;
    // Whoever was just being started by one of them is found the next time.
    for (auto found = orphans(); !found.empty(); found = orphans()) {
        for (const auto& orphan : found)
            names.push_back(orphan.name);
        signal_all(found, SIGTERM);
        if (!wait_for(found, steady_clock::now() + grace)) {
            signal_all(found, SIGKILL);
            if (!wait_for(found, steady_clock::now() + grace))
                break; // in the kernel, waiting for a device: nothing ends it
        }
    }
    return names;
}

} // namespace agent
