// Owns the journal lines: one line a call on standard error, with systemd's <N> priority prefix
// when systemd reads it (JOURNAL_STREAM is set). Never a secret; foreign text goes through
// printable().
#pragma once

#include <string>
#include <string_view>

namespace agent::log {

void error(std::string_view text);
void warning(std::string_view text);
void notice(std::string_view text);
void info(std::string_view text);

// A line as those, which carries `event` (one line of JSON) for programs: where systemd reads us,
// the journal keeps it in a field of its own, AGENT_EVENT, under this MESSAGE_ID. Elsewhere it is
// the line alone.
enum class Priority { error = 3, notice = 5, info = 6 };
inline constexpr const char* event_message_id = "b1c59d7f1f0b4a4b9d6d7f4f6f3c2a90";
void event(Priority priority, std::string_view text, std::string_view event);

// What is sent to the journal for it, in its native protocol. Source: systemd's
// JOURNAL_NATIVE_PROTOCOL. Pure.
[[nodiscard]] std::string
journal_entry(Priority priority, std::string_view text, std::string_view event);

} // namespace agent::log
