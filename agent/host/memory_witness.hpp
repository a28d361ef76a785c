// Owns the evidence that memory was lacking: a CommandRunner that counts, around each command of
// another one, the processes of our control group that the kernel has killed for it (cgroup v2).
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/command.hpp"

#include <filesystem>
#include <optional>
#include <string_view>

namespace agent {

class MemoryWitness : public CommandRunner {
public:
    MemoryWitness(CommandRunner& commands, const Root& root);
    boost::asio::awaitable<Result<CommandOutcome>> run(Command command) override;

private:
    [[nodiscard]] std::optional<unsigned> killed() const;

    CommandRunner& commands_;
    std::filesystem::path events_; // empty: the kernel keeps none
};

// The `oom_kill` of a memory.events file; nullopt when it has none.
[[nodiscard]] std::optional<unsigned> oom_kills(std::string_view memory_events);

// The cgroup v2 path of /proc/self/cgroup, as "/system.slice/agent.service"; empty: not in v2.
[[nodiscard]] std::string_view unified_group(std::string_view proc_cgroup);

} // namespace agent
