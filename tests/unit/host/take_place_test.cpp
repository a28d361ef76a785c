#include "agent/host/take_place.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Ended {
    int status = 0;
    std::string said;
};

// Of a process that the session takes the place of; 100 and errno when it could not.
Ended in_the_place(const Session& session) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    std::cout.flush(); // else it is said twice
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::_exit(100 + take_place(session));
    }
    ::close(ends[1]);
    Ended ended;
    std::array<char, 4096> piece{};
    ssize_t count = 0;
    while ((count = ::read(ends[0], piece.data(), piece.size())) > 0)
        ended.said.append(piece.data(), static_cast<std::size_t>(count));
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    ended.status = WEXITSTATUS(status);
    return ended;
}

Session shell(std::string script) {
    Session session;
    session.argv = {"sh", "-c", std::move(script)};
    session.environment = {{"PATH", "/usr/bin:/bin"}, {"WORD", "said"}};
    return session;
}

} // namespace

TEST_CASE("take_place: the status is the program's own, and so is what it finds around it",
          "[unit][host]") {
    const test::TempRoot directory;
    ::setenv("OF_THE_CALLER", "secret", 1);
    auto session = shell("env; pwd; umask; exit 7");
    session.directories = {"/nowhere/at/all", directory.path(), "/"};
    const auto ended = in_the_place(session);
    ::unsetenv("OF_THE_CALLER");
    CHECK(ended.status == 7);
    CHECK_THAT(ended.said, ContainsSubstring("WORD=said"));
    CHECK_THAT(ended.said, !ContainsSubstring("OF_THE_CALLER"));
    CHECK_THAT(ended.said, ContainsSubstring("\n" + directory.path().string() + "\n"));
    CHECK_THAT(ended.said, ContainsSubstring("0022"));
}

TEST_CASE("take_place: signals that this program ignores reach the other", "[unit][host]") {
    std::signal(SIGPIPE, SIG_IGN);
    // A child of its own, so that this one exits whatever comes.
    const auto ended = in_the_place(shell("sh -c 'kill -PIPE $$; exit 0'; echo $?"));
    CHECK(ended.status == 0);
    CHECK(ended.said == "141\n");
}

TEST_CASE("take_place: a program that is not there is said", "[unit][host]") {
    auto session = shell("exit 0");
    session.argv = {"no-such-program"};
    CHECK(in_the_place(session).status == 100 + ENOENT);
}

TEST_CASE("take_place: root gives up every right that is not the user's", "[unit][host]") {
    if (::geteuid() != 0)
        SKIP("only root may become somebody else");
    auto session = shell("id -u; id -g; id -G; grep -c '^Cap[EP][a-z]*:.0*$' /proc/self/status");
    session.as = Account{"nobody", 65534, 65534, "/", "/bin/sh"};
    session.groups = {65534, 44};
    const auto ended = in_the_place(session);
    CHECK(ended.said == "65534\n65534\n65534 44\n2\n");
}
