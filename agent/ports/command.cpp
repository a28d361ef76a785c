#include "agent/ports/command.hpp"

#include "agent/base/text.hpp"

#include <csignal>
#include <cstring>

namespace agent {

bool CommandOutcome::succeeded() const {
    return exit_code() == 0;
}

std::optional<int> CommandOutcome::exit_code() const {
    const auto* exited = std::get_if<Exited>(&status);
    return exited ? std::optional{exited->code} : std::nullopt;
}

bool lacked_memory(const CommandOutcome& outcome) {
    return outcome.killed_for_memory.value_or(0) > 0 && !outcome.succeeded() &&
           !std::holds_alternative<TimedOut>(outcome.status);
}

std::string describe(const CommandOutcome& outcome) {
    const std::string program =
        outcome.argv.empty() ? "?"
                             : std::filesystem::path{outcome.argv.front()}.filename().string();
    std::string evidence;
    if (lacked_memory(outcome))
        evidence = ", out of memory (memory.events: oom_kill rose by " +
                   std::to_string(*outcome.killed_for_memory) + ")";
    if (const auto* exited = std::get_if<Exited>(&outcome.status))
        return program + " exited with status " + std::to_string(exited->code) + evidence;
    if (const auto* signaled = std::get_if<Signaled>(&outcome.status)) {
        const char* name = ::sigabbrev_np(signaled->signal);
        std::string text = program + " was killed by SIG" +
                           (name ? std::string{name} : std::to_string(signaled->signal));
        if (!evidence.empty())
            text += evidence;
        else if (signaled->signal == SIGKILL && !outcome.killed_for_memory)
            text += " (out of memory? see `dmesg`)";
        return text;
    }
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(outcome.duration).count();
    return program + " did not end within " + std::to_string(seconds) + " s and was ended";
}

Result<CommandOutcome> require_success(CommandOutcome outcome, ErrorKind on_failure) {
    if (outcome.succeeded())
        return outcome;
    Error error{on_failure, describe(outcome), {}};
    const std::string& words =
        trim(outcome.error_tail).empty() ? outcome.output : outcome.error_tail;
    if (const auto last = last_lines(words, 4); !last.empty())
        error.message += ": " + printable(join(last, " | "), 700);
    if (std::holds_alternative<TimedOut>(outcome.status))
        error.kind = ErrorKind::transient;
    if (lacked_memory(outcome)) {
        error.kind = ErrorKind::transient;
        error.next = next_for_lack_of_memory;
    }
    return error;
}

} // namespace agent
