// Owns a terminal's lines that are drawn over themselves: which bytes bring it from one picture to
// the next, and its being left as it was found. No alternate screen: the last picture stays.
#pragma once

#include "agent/base/unique_fd.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <signal.h>

namespace agent {

struct TerminalSize {
    std::size_t columns = 80;
    std::size_t rows = 24;
    friend bool operator==(const TerminalSize&, const TerminalSize&) = default;
};

// 80 by 24 when the terminal does not say.
[[nodiscard]] TerminalSize size_of(int terminal);

// What to write to a terminal; pure. One write a picture, so that none is seen half drawn.
class Picture {
public:
    // Lines are cut to the terminal's width, colours being of none, and to its height. Empty when
    // nothing has changed.
    [[nodiscard]] std::string draw(std::string_view text, TerminalSize size);
    // Takes the picture away; the cursor stands where it began.
    [[nodiscard]] std::string erase();
    // Leaves the picture; the next one is drawn below it.
    [[nodiscard]] std::string leave();

private:
    std::vector<std::string> drawn_;
    TerminalSize size_;
    bool hidden_ = false; // the cursor
};

// A terminal that is drawn on. The signals that would end or stop this process are held back until
// the terminal is as it was; then they act.
class Screen {
public:
    explicit Screen(int terminal);
    ~Screen();
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;

    [[nodiscard]] TerminalSize size() const { return size_of(terminal_); }
    void draw(std::string_view text);
    void erase();
    // Until `change` is readable (-1: never), the size may be another, or the time is over. Does
    // not return from a signal that ends the process.
    void wait(int change, std::chrono::milliseconds longest);
    // False once it cannot be written to any more.
    [[nodiscard]] bool is_there() const { return there_; }

private:
    void write(std::string_view bytes);
    void obey(int signal);

    int terminal_;
    Picture picture_;
    sigset_t mask_{};
    UniqueFd signals_;
    bool there_ = true;
};

} // namespace agent
