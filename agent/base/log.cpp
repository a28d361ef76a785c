#include "agent/base/log.hpp"

#include "agent/base/text.hpp"

#include <cstdlib>
#include <string>

#include <unistd.h>

namespace agent::log {
namespace {

constexpr std::size_t line_limit = 2000;

// sd-daemon(3): a line that starts with <N> has syslog priority N.
void write_line(int priority, std::string_view text) {
    static const bool to_journal = std::getenv("JOURNAL_STREAM") != nullptr;
    std::string line = to_journal ? "<" + std::to_string(priority) + ">" : std::string{};
    line += printable(text, line_limit);
    line += '\n';
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

} // namespace

void error(std::string_view text) {
    write_line(3, text);
}
void warning(std::string_view text) {
    write_line(4, text);
}
void notice(std::string_view text) {
    write_line(5, text);
}
void info(std::string_view text) {
    write_line(6, text);
}

} // namespace agent::log
