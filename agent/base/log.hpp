// Owns the journal lines: one line a call on standard error, with systemd's <N> priority prefix
// when systemd reads it (JOURNAL_STREAM is set). Never a secret; foreign text goes through
// printable().
#pragma once

#include <string_view>

namespace agent::log {

void error(std::string_view text);
void warning(std::string_view text);
void notice(std::string_view text);
void info(std::string_view text);

} // namespace agent::log
