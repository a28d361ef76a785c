#include "agent/host/memory_witness.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

namespace agent {
namespace {

constexpr const char* own_groups = "/proc/self/cgroup";
constexpr const char* all_groups = "/sys/fs/cgroup";

std::string_view value_after(std::string_view text, std::string_view opening) {
    while (!text.empty()) {
        const auto line = text.substr(0, text.find('\n'));
        if (line.starts_with(opening))
            return line.substr(opening.size());
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
    return {};
}

} // namespace

std::optional<unsigned> oom_kills(std::string_view memory_events) {
    const auto text = value_after(memory_events, "oom_kill ");
    unsigned count = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), count);
    if (read.ec != std::errc{} || read.ptr != text.data() + text.size())
        return std::nullopt;
    return count;
}

std::string_view unified_group(std::string_view proc_cgroup) {
    return value_after(proc_cgroup, "0::");
}

MemoryWitness::MemoryWitness(CommandRunner& commands, const Root& root) : commands_{commands} {
    const auto groups = read_file(root / own_groups);
    const auto group = groups && *groups ? unified_group(**groups) : std::string_view{};
    // The topmost group has no memory.events, and a path with ".." is outside of our namespace.
    if (group.size() > 1 && group.find("..") == std::string_view::npos)
        events_ = root / (all_groups + std::string{group} + "/memory.events");
}

boost::asio::awaitable<Result<CommandOutcome>> MemoryWitness::run(Command command) {
    const auto before = killed();
    auto outcome = co_await commands_.run(std::move(command));
    // The kernel counts before it kills: a child that has ended so is in the count.
    if (outcome && !outcome->succeeded() && before)
        if (const auto after = killed(); after && *after >= *before)
            outcome->killed_for_memory = *after - *before;
    co_return outcome;
}

std::optional<unsigned> MemoryWitness::killed() const {
    if (events_.empty())
        return std::nullopt;
    const auto events = read_file(events_);
    return events && *events ? oom_kills(**events) : std::nullopt;
}

} // namespace agent
