#include "agent/base/unique_fd.hpp"
#include "agent/commands/screen.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <chrono>
#include <csignal>
#include <string>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace agent;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr TerminalSize usual{80, 24};
const std::string hide = "\033[?25l";
const std::string show = "\033[?25h";
const std::string rest = "\033[K"; // of the line

class Terminal {
public:
    Terminal() : master_{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK)} {
        REQUIRE(::grantpt(master_.get()) == 0);
        REQUIRE(::unlockpt(master_.get()) == 0);
        std::array<char, 64> name{};
        REQUIRE(::ptsname_r(master_.get(), name.data(), name.size()) == 0);
        slave_ = UniqueFd{::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
        REQUIRE(slave_);
    }
    [[nodiscard]] int fd() const { return slave_.get(); }
    void resize(unsigned short columns, unsigned short rows) const {
        const winsize size{rows, columns, 0, 0};
        REQUIRE(::ioctl(master_.get(), TIOCSWINSZ, &size) == 0);
    }
    [[nodiscard]] std::string shown() const {
        std::string text;
        std::array<char, 4096> some{};
        for (ssize_t count = 0; (count = ::read(master_.get(), some.data(), some.size())) > 0;)
            text.append(some.data(), static_cast<std::size_t>(count));
        return text;
    }

private:
    UniqueFd master_;
    UniqueFd slave_;
};

} // namespace

TEST_CASE("screen: a picture is drawn, then over itself", "[unit][commands]") {
    Picture picture;
    CHECK(picture.draw("one\ntwo\n", usual) == hide + "one" + rest + "\ntwo" + rest + "\n");
    CHECK(picture.draw("one\n2\n", usual) == "\r\033[2Aone" + rest + "\n2" + rest + "\n");
    CHECK(picture.draw("one\n2\n", usual).empty());
    CHECK(picture.draw("one\n", usual) == "\r\033[2Aone" + rest + "\n\033[J");
    CHECK(picture.draw("one\nand more\n", usual) ==
          "\r\033[1Aone" + rest + "\nand more" + rest + "\n");
}

TEST_CASE("screen: a line is cut to the width, colours being of none", "[unit][commands]") {
    Picture picture;
    const TerminalSize narrow{6, 24};
    CHECK(picture.draw("\033[36mabcdefgh\033[0m\n", narrow) == hide + "\033[36mabcdef\033[0m\n");
    CHECK(picture.draw("\033[36mabcdef\033[0m\n", narrow) ==
          "\r\033[1A\033[36mabcdef\033[0m" + rest + "\n");
    // Nothing is erased behind a full line: the cursor still stands upon its last character.
    CHECK(picture.draw("abcdef\n", narrow) == "\r\033[1Aabcdef\n");
    CHECK(picture.draw("環境環境\n", narrow) == "\r\033[1A環境環\n");
    CHECK(picture.draw("ab環境環\n", narrow) == "\r\033[1Aab環境\n");
}

TEST_CASE("screen: a picture is cut to the height", "[unit][commands]") {
    Picture picture;
    CHECK(picture.draw("1\n2\n3\n4\n", {80, 3}) == hide + "1" + rest + "\n2" + rest + "\n");
}

TEST_CASE("screen: a terminal of another size begins anew", "[unit][commands]") {
    Picture picture;
    CHECK(picture.draw("one\n", usual) == hide + "one" + rest + "\n");
    CHECK(picture.draw("one\n", {40, 24}) == "\033[H\033[2Jone" + rest + "\n");
    CHECK(picture.draw("two\n", {40, 24}) == "\r\033[1Atwo" + rest + "\n");
}

TEST_CASE("screen: what was drawn is taken away or left, and the cursor comes back",
          "[unit][commands]") {
    Picture picture;
    CHECK(picture.leave().empty());
    CHECK_FALSE(picture.draw("one\ntwo\n", usual).empty());
    CHECK(picture.erase() == "\r\033[2A\033[J" + show);
    CHECK(picture.erase().empty());
    CHECK_FALSE(picture.draw("one\n", usual).empty());
    CHECK(picture.leave() == show);
    CHECK(picture.draw("one\n", usual) == hide + "one" + rest + "\n");
}

TEST_CASE("screen: the size is the terminal's own", "[unit][commands]") {
    const Terminal terminal;
    CHECK(size_of(terminal.fd()) == usual); // it does not say
    terminal.resize(100, 30);
    CHECK(size_of(terminal.fd()) == TerminalSize{100, 30});
}

TEST_CASE("screen: a new size ends the wait", "[unit][commands]") {
    const Terminal terminal;
    Screen screen{terminal.fd()};
    ::raise(SIGWINCH);
    screen.wait(-1, 1h);
    CHECK(screen.is_there());
}

TEST_CASE("screen: Ctrl-C ends the process by that signal, with the cursor back",
          "[unit][commands]") {
    const Terminal terminal;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::signal(SIGINT, SIG_DFL);
        Screen screen{terminal.fd()};
        screen.draw("drawn\n");
        ::raise(SIGINT);
        screen.wait(-1, 1h);
        ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGINT);
    const std::string shown = terminal.shown();
    CHECK_THAT(shown, ContainsSubstring("drawn"));
    CHECK(shown.ends_with(show));
}
