// Owns how processes that a command started are known, however they detached themselves: by a mark
// in the environment, which every one of them inherits.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace agent {

// The variable's name. Its value is "PID.START.NUMBER": this process, when it began (field 22 of
// /proc/PID/stat, in clock ticks since boot), and which of its commands.
inline constexpr const char* lineage_variable = "AGENT_CHILD_OF";

// For one more command of this process.
[[nodiscard]] std::string new_lineage();

// Sends the signal to every process with this mark.
void signal_lineage(std::string_view lineage, int number);

// Ends what commands of a process that is no more have left running: SIGTERM, after `grace`
// SIGKILL. Blocks until they are gone. Gives "NAME (PID)" of each. What may not be looked at is
// left alone.
[[nodiscard]] std::vector<std::string> end_left_behind(std::chrono::milliseconds grace);

} // namespace agent
