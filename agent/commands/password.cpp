#include "agent/commands/password.hpp"

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/crypto.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ostream>
#include <string>
#include <string_view>

#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::size_t shortest = 8;
constexpr std::size_t longest = 1024; // bytes

// A terminal that does not show what is typed. The signals that would end us meanwhile are held
// back and readable at `signals()`; they act when this is gone and the terminal is as it was.
class SilentTerminal {
public:
    explicit SilentTerminal(int terminal) : terminal_{terminal} {
        sigset_t held{};
        ::sigemptyset(&held);
        for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT})
            ::sigaddset(&held, number);
        ::pthread_sigmask(SIG_BLOCK, &held, &mask_);
        signals_ = UniqueFd{::signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK)};
        if (::tcgetattr(terminal_, &before_) != 0)
            return;
        termios silent = before_;
        silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK);
        silent.c_lflag |= ICANON | ISIG | ECHONL;
        silent.c_cc[VSUSP] = _POSIX_VDISABLE; // the shell would get a silent terminal
        changed_ = ::tcsetattr(terminal_, TCSAFLUSH, &silent) == 0;
    }
    SilentTerminal(const SilentTerminal&) = delete;
    SilentTerminal& operator=(const SilentTerminal&) = delete;
    ~SilentTerminal() {
        if (changed_)
            ::tcsetattr(terminal_, TCSADRAIN, &before_);
        ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    }

    [[nodiscard]] bool is_silent() const { return changed_ && signals_; }
    [[nodiscard]] int signals() const { return signals_.get(); }

private:
    int terminal_;
    termios before_{};
    sigset_t mask_{};
    UniqueFd signals_;
    bool changed_ = false;
};

Error interrupted() {
    return permanent("no password was given");
}

// Waits for input; false when one of the signals came first.
bool await_input(int input, int signals) {
    std::array<pollfd, 2> watched{pollfd{input, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
    while (true) {
        if (::poll(watched.data(), watched.size(), -1) < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        return watched[1].revents == 0;
    }
}

// One line without its end; `signals` may be -1. A last line without a newline is a line.
Result<Secret> read_line(int input, int signals) {
    std::string line;
    while (line.size() <= longest) {
        if (signals >= 0 && !await_input(input, signals))
            return interrupted();
        char c = 0;
        const ssize_t count = ::read(input, &c, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error("reading the password", errno);
        if (count == 0 && line.empty())
            return interrupted();
        if (count == 0 || c == '\n') {
            if (line.ends_with('\r'))
                line.pop_back();
            return Secret{std::move(line)};
        }
        line += c;
    }
    return permanent("the password is longer than " + std::to_string(longest) + " bytes");
}

Result<Secret> ask(int input, std::ostream& errors) {
    const SilentTerminal terminal{input};
    if (!terminal.is_silent())
        return permanent("the terminal cannot be kept from showing the password",
                         "give it on standard input instead");
    errors << "Password: " << std::flush;
    auto first = read_line(input, terminal.signals());
    if (!first)
        return first;
    errors << "Once more: " << std::flush;
    auto second = read_line(input, terminal.signals());
    if (!second)
        return second;
    if (*first != *second)
        return permanent("the two passwords differ");
    return first;
}

std::size_t characters(std::string_view utf8) {
    return static_cast<std::size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    }));
}

Result<std::string> hash_of(const Result<Secret>& password) {
    if (!password)
        return password.error();
    if (password->empty())
        return permanent("the password is empty: Jupyter would be open to anybody");
    if (characters(password->reveal()) < shortest)
        return permanent("the password is shorter than " + std::to_string(shortest) +
                         " characters");
    return hash_password(*password);
}

} // namespace

int password_command(int input, std::ostream& output, std::ostream& errors) {
    const auto hash = hash_of(::isatty(input) == 1 ? ask(input, errors) : read_line(input, -1));
    if (!hash) {
        errors << "agent password: " << hash.error().message;
        if (!hash.error().next.empty())
            errors << "; " << hash.error().next;
        errors << ".\n";
        return 1;
    }
    output << *hash << '\n' << std::flush;
    return 0;
}

} // namespace agent
