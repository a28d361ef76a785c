#include "agent/report/console.hpp"

#include "agent/ports/layout.hpp"

#include <cerrno>

#include <fcntl.h>

namespace agent {
namespace {

constexpr std::string_view prefix = "agent: ";

// Not every terminal at the far end of a serial line speaks UTF-8.
std::string ascii(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7F)
            out += c;
        else if (byte < 0x80 || byte >= 0xC0)
            out += '?'; // one for each character of several bytes
    }
    return out;
}

std::string line(std::string_view text, std::string_view after = {}) {
    constexpr std::string_view cut = "...";
    const std::size_t room = ConsoleNews::longest_line - prefix.size();
    std::string end = ascii(after);
    if (end.size() > room / 2)
        end.clear();
    std::string begin = ascii(text);
    if (begin.size() + end.size() > room)
        begin = begin.substr(0, room - end.size() - cut.size()) + std::string{cut};
    return std::string{prefix} + begin + end;
}

} // namespace

std::vector<std::string> ConsoleNews::lines(const Status& status) {
    std::vector<std::string> lines;
    for (const auto& text : steps_.lines(status))
        lines.push_back(line(text));
    std::string word;
    if (is_settled(status.state)) {
        const bool says_where =
            status.url.empty() || status.summary.find(status.url) != std::string::npos;
        word = line(status.summary, says_where ? std::string{} : " (" + status.url + ")");
    }
    if (!word.empty() && word != last_word_)
        lines.push_back(word);
    last_word_ = std::move(word);
    return lines;
}

void Console::tell(const Status& status) {
    for (const auto& line : news_.lines(status))
        write(line + "\n");
}

void Console::write(std::string_view text) {
    // Twice, because a getty hangs its terminal up when it starts: then it must be opened anew.
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (!fd_)
            fd_ = UniqueFd{::open((root_ / layout::console).c_str(),
                                  O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)};
        if (!fd_ || ::write(fd_.get(), text.data(), text.size()) >= 0 || errno == EAGAIN)
            return;
        fd_ = UniqueFd{};
    }
}

} // namespace agent
