#include "agent/commands/screen.hpp"

#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::string_view hide_cursor = "\033[?25l";
constexpr std::string_view show_cursor = "\033[?25h";
constexpr std::string_view to_line_end = "\033[K";
constexpr std::string_view to_screen_end = "\033[J";
constexpr std::string_view clear_screen = "\033[H\033[2J";
constexpr std::string_view plain_colour = "\033[0m";

constexpr std::array ending{SIGINT, SIGTERM, SIGHUP, SIGQUIT};

std::string up(std::size_t lines) {
    return lines == 0 ? std::string{"\r"} : "\r\033[" + std::to_string(lines) + "A";
}

// The length of the escape sequence that the text begins with; 0: none.
std::size_t escape_length(std::string_view text) {
    if (!text.starts_with("\033["))
        return 0;
    const auto end = text.find('m');
    return end == std::string_view::npos ? text.size() : end + 1;
}

// With what erases the rest of an earlier line; a full line has none, and erasing behind it would
// take its last character.
std::string fitted(std::string_view line, std::size_t columns) {
    std::string out;
    bool coloured = false;
    for (std::size_t column = 0; !line.empty();) {
        if (const std::size_t escape = escape_length(line)) {
            out += line.substr(0, escape);
            coloured = line.substr(0, escape) != plain_colour;
            line.remove_prefix(escape);
            continue;
        }
        const auto character = first_character(line);
        const std::size_t length = std::max<std::size_t>(1, character.length);
        column += columns_of(character.point);
        if (column > columns)
            return out + std::string{coloured ? plain_colour : ""};
        out += line.substr(0, length);
        line.remove_prefix(length);
        if (column == columns && line.empty())
            return out;
    }
    return out + std::string{to_line_end};
}

} // namespace

TerminalSize size_of(int terminal) {
    TerminalSize size;
    winsize told{};
    if (::ioctl(terminal, TIOCGWINSZ, &told) == 0 && told.ws_col > 0 && told.ws_row > 0)
        size = {told.ws_col, told.ws_row};
    return size;
}

std::string Picture::draw(std::string_view text, TerminalSize size) {
    std::vector<std::string> lines;
    for (const auto& line : split(text, '\n'))
        lines.push_back(fitted(line, size.columns));
    if (!lines.empty() && text.ends_with('\n'))
        lines.pop_back();
    // The cursor's own line is below the last one.
    if (lines.size() + 1 > size.rows)
        lines.resize(std::max<std::size_t>(size.rows, 2) - 1);
    if (hidden_ && lines == drawn_ && size == size_)
        return {};

    std::string bytes;
    if (!hidden_)
        bytes += hide_cursor;
    // A terminal of another width has wrapped or cut what was there, each kind in its own way.
    if (hidden_ && size != size_)
        bytes += clear_screen;
    else if (!drawn_.empty())
        bytes += up(drawn_.size());
    for (const auto& line : lines)
        bytes += line + "\n";
    if (lines.size() < drawn_.size())
        bytes += to_screen_end;
    drawn_ = std::move(lines);
    size_ = size;
    hidden_ = true;
    return bytes;
}

std::string Picture::erase() {
    std::string bytes;
    if (!drawn_.empty())
        bytes += up(drawn_.size()) + std::string{to_screen_end};
    drawn_.clear();
    return bytes + leave();
}

std::string Picture::leave() {
    drawn_.clear();
    if (!hidden_)
        return {};
    hidden_ = false;
    return std::string{show_cursor};
}

Screen::Screen(int terminal) : terminal_{terminal} {
    sigset_t held{};
    ::sigemptyset(&held);
    for (const int number : ending)
        ::sigaddset(&held, number);
    ::sigaddset(&held, SIGTSTP);
    ::sigaddset(&held, SIGWINCH);
    ::pthread_sigmask(SIG_BLOCK, &held, &mask_);
    signals_ = UniqueFd{::signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK)};
}

Screen::~Screen() {
    write(picture_.leave());
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
}

void Screen::draw(std::string_view text) {
    write(picture_.draw(text, size()));
}

void Screen::erase() {
    write(picture_.erase());
}

void Screen::wait(int change, std::chrono::milliseconds longest) {
    std::array<pollfd, 3> watched{
        pollfd{signals_.get(), POLLIN, 0}, pollfd{change, POLLIN, 0}, pollfd{terminal_, 0, 0}};
    ::poll(watched.data(), watched.size(), static_cast<int>(longest.count()));
    if ((watched[2].revents & (POLLHUP | POLLERR)) != 0)
        there_ = false;
    signalfd_siginfo told{};
    while (::read(signals_.get(), &told, sizeof told) == static_cast<ssize_t>(sizeof told))
        obey(static_cast<int>(told.ssi_signo));
}

void Screen::obey(int signal) {
    if (std::find(ending.begin(), ending.end(), signal) != ending.end()) {
        write(picture_.leave());
        ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
        ::signal(signal, SIG_DFL);
        ::raise(signal);
    } else if (signal == SIGTSTP) {
        write(picture_.leave());
        ::raise(SIGSTOP); // until the shell goes on with us
    }
}

void Screen::write(std::string_view bytes) {
    while (there_ && !bytes.empty()) {
        const ssize_t written = ::write(terminal_, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN) {
            pollfd writable{terminal_, POLLOUT, 0};
            ::poll(&writable, 1, 1000);
            continue;
        }
        if (written < 0)
            there_ = false;
        else
            bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

} // namespace agent
