#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/host/lineage.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace agent;
using namespace std::chrono_literals;

namespace {

// A process of its own with this mark in its environment; it has begun when this returns.
class Marked {
public:
    Marked(const std::string& lineage, std::string script) {
        std::string variable = std::string{lineage_variable} + "=" + lineage;
        script.insert(0, "echo; ");
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        const UniqueFd begun{ends[0]};
        UniqueFd output{ends[1]};
        std::array<char*, 2> environment{variable.data(), nullptr};
        std::string shell = "/bin/sh";
        std::string option = "-c";
        std::array<char*, 4> argv{shell.data(), option.data(), script.data(), nullptr};
        pid_ = ::fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            ::dup2(output.get(), STDOUT_FILENO);
            ::execve(argv[0], argv.data(), environment.data());
            ::_exit(127);
        }
        output = UniqueFd{};
        char newline = 0;
        REQUIRE(::read(begun.get(), &newline, 1) == 1);
    }
    Marked(const Marked&) = delete;
    Marked& operator=(const Marked&) = delete;
    ~Marked() {
        if (!status_)
            ::kill(pid_, SIGKILL);
        (void)status();
    }
    [[nodiscard]] bool runs() const {
        siginfo_t info{};
        ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
        return info.si_pid == 0;
    }
    // The signal that ended it; 0: none.
    int status() {
        if (!status_) {
            int status = 0;
            ::waitpid(pid_, &status, 0);
            status_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        }
        return *status_;
    }
    [[nodiscard]] bool is_among(const std::vector<std::string>& names) const {
        return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
            return name.ends_with("(" + std::to_string(pid_) + ")");
        });
    }

private:
    pid_t pid_ = 0;
    std::optional<int> status_;
};

// As of a process that had our pid before us.
std::string of_the_dead() {
    return std::to_string(::getpid()) + ".1.1";
}

} // namespace

TEST_CASE("lineage: what a dead process has left behind is ended and named", "[unit][host]") {
    Marked left{of_the_dead(), "exec sleep 1000"};
    const auto ended = end_left_behind(10s);
    CHECK(left.is_among(ended));
    CHECK(left.status() == SIGTERM);
}

TEST_CASE("lineage: who ignores the polite word is ended all the same", "[unit][host]") {
    Marked left{of_the_dead(), "trap '' TERM; while :; do sleep 1000; done"};
    (void)end_left_behind(100ms);
    CHECK(left.status() == SIGKILL);
}

TEST_CASE("lineage: what belongs to a living process is let be", "[unit][host]") {
    const Marked own{new_lineage(), "exec sleep 1000"};
    const Marked odd{"nonsense", "exec sleep 1000"};
    const Marked overflowing{"99999999999999999999.1.1", "exec sleep 1000"};
    const auto ended = end_left_behind(100ms);
    for (const Marked* process : {&own, &odd, &overflowing}) {
        CHECK_FALSE(process->is_among(ended));
        CHECK(process->runs());
    }
}

TEST_CASE("lineage: a signal reaches one command's processes and no other's", "[unit][host]") {
    const std::string one = new_lineage();
    const std::string other = new_lineage();
    CHECK(one != other);
    Marked meant{one, "exec sleep 1000"};
    const Marked beside{other, "exec sleep 1000"};
    signal_lineage(one, SIGTERM);
    CHECK(meant.status() == SIGTERM);
    CHECK(beside.runs());
}
