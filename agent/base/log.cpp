#include "agent/base/log.hpp"

#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace agent::log {
namespace {

constexpr std::size_t line_limit = 2000;

constexpr std::string_view journal_socket = "/run/systemd/journal/socket";
// Below what a socket takes at once anywhere (net.core.wmem_default).
constexpr std::size_t entry_limit = 128 * 1024;

bool is_read_by_the_journal() {
    static const bool is = std::getenv("JOURNAL_STREAM") != nullptr;
    return is;
}

// sd-daemon(3): a line that starts with <N> has syslog priority N.
void write_line(int priority, std::string_view text) {
    std::string line =
        is_read_by_the_journal() ? "<" + std::to_string(priority) + ">" : std::string{};
    line += printable(text, line_limit);
    line += '\n';
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

// Never waits: a journal that does not read loses the field, not the line.
bool send_to_journal(const std::string& entry) {
    if (entry.size() > entry_limit)
        return false;
    const UniqueFd fd{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(journal_socket.begin(), journal_socket.end(), address.sun_path);
    return fd && ::sendto(fd.get(),
                          entry.data(),
                          entry.size(),
                          MSG_NOSIGNAL | MSG_DONTWAIT,
                          reinterpret_cast<const sockaddr*>(&address),
                          sizeof address) == static_cast<ssize_t>(entry.size());
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

void event(Priority priority, std::string_view text, std::string_view event) {
    if (!is_read_by_the_journal() || !send_to_journal(journal_entry(priority, text, event)))
        write_line(static_cast<int>(priority), text);
}

std::string journal_entry(Priority priority, std::string_view text, std::string_view event) {
    // No value has a newline, so that the protocol's simple form does.
    std::string entry = "SYSLOG_IDENTIFIER=agent\nPRIORITY=";
    entry += std::to_string(static_cast<int>(priority)) + "\nMESSAGE_ID=" + event_message_id;
    entry += "\nMESSAGE=" + printable(text, line_limit) + "\nAGENT_EVENT=";
    for (const char c : event)
        entry += c == '\n' ? ' ' : c;
    return entry + "\n";
}

} // namespace agent::log
