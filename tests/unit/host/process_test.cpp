#include "agent/base/stop.hpp"
#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/host/process.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Lines = std::vector<std::string>;

namespace {

Command program(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    return command;
}

Command shell(std::string script) {
    return program({"/bin/sh", "-c", std::move(script)});
}

class Machine {
public:
    Machine() { std::signal(SIGPIPE, SIG_IGN); } // as main does

    Result<CommandOutcome> run(Command command) {
        return run_coroutine(io, runner.run(std::move(command)));
    }
    // Asks the process to stop when the command says so with its first line, which is its answer.
    std::string stop_at_first_line(Command command) {
        std::string first;
        command.on_line = [&](std::string_view line) {
            if (first.empty()) {
                first = line;
                stop.request_stop();
            }
        };
        CHECK_THROWS_AS(run(std::move(command)), Stopped);
        return first;
    }

    // Whether nothing waits for anything any more, or soon will not.
    bool is_idle() {
        io.restart();
        io.run_for(10s);
        return io.stopped();
    }

    boost::asio::io_context io;
    std::stop_source stop;
    ProcessCommandRunner runner{io, stop.get_token()};
};

// Whether the process ends, at once or soon; a zombie has ended.
bool ends(pid_t pid) {
    const UniqueFd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
    if (!process)
        return errno == ESRCH;
    struct pollfd end{process.get(), POLLIN, 0};
    return ::poll(&end, 1, 10'000) == 1;
}

template <class End> int number_of(const CommandOutcome& outcome) {
    REQUIRE(std::holds_alternative<End>(outcome.status));
    if constexpr (std::is_same_v<End, Exited>)
        return std::get<Exited>(outcome.status).code;
    else
        return std::get<Signaled>(outcome.status).signal;
}

} // namespace

TEST_CASE("process: an exit code, a signal and a deadline are three things", "[unit][host]") {
    Machine machine;
    CHECK(number_of<Exited>(machine.run(shell("exit 0")).value()) == 0);
    CHECK(number_of<Exited>(machine.run(shell("exit 9")).value()) == 9);
    CHECK(number_of<Signaled>(machine.run(shell("kill -KILL $$")).value()) == SIGKILL);
    CHECK(number_of<Signaled>(machine.run(shell("kill -TERM $$")).value()) == SIGTERM);
    Command late = program({"/bin/sleep", "1000"});
    late.deadline = 50ms;
    const auto outcome = machine.run(late).value();
    CHECK(std::holds_alternative<TimedOut>(outcome.status));
    CHECK(outcome.argv == late.argv);
    CHECK(outcome.duration >= 50ms);
}

TEST_CASE("process: both outputs are kept apart", "[unit][host]") {
    Machine machine;
    const auto outcome = machine.run(shell("echo out; echo err >&2; exit 3")).value();
    CHECK(outcome.output == "out\n");
    CHECK(outcome.error_tail == "err\n");
    CHECK(outcome.exit_code() == 3);
}

TEST_CASE("process: of the output the beginning is kept, of the errors the end", "[unit][host]") {
    Machine machine;
    Command command = shell("head -c 300000 /dev/zero | tr '\\0' o;"
                            "head -c 300000 /dev/zero | tr '\\0' e >&2; printf END >&2");
    command.output_limit = 1000;
    const auto outcome = machine.run(command).value();
    CHECK(outcome.exit_code() == 0);
    CHECK(outcome.output == std::string(1000, 'o'));
    CHECK(outcome.error_tail == std::string(4093, 'e') + "END");
}

TEST_CASE("process: lines come as they are ended, by whatever ends them", "[unit][host]") {
    Machine machine;
    Lines lines;
    Command command = shell("printf 'one\\ntwo 10%%\\rtwo 20%%\\r\\n\\n'; printf last");
    command.on_line = [&](std::string_view line) { lines.emplace_back(line); };
    REQUIRE(machine.run(command).has_value());
    CHECK(lines == Lines{"one", "two 10%", "two 20%", "last"});
}

TEST_CASE("process: lines of both outputs come, and an endless one is cut", "[unit][host]") {
    Machine machine;
    Lines lines;
    Command command =
        shell("head -c 20000 /dev/zero | tr '\\0' x; echo; echo next; echo error >&2");
    command.on_line = [&](std::string_view line) { lines.emplace_back(line); };
    REQUIRE(machine.run(command).has_value());
    CHECK(std::count(lines.begin(), lines.end(), std::string(8192, 'x')) == 1);
    CHECK(std::count(lines.begin(), lines.end(), "next") == 1);
    CHECK(std::count(lines.begin(), lines.end(), "error") == 1);
    CHECK(lines.size() == 3);
}

TEST_CASE("process: a child reads what it is given, and else nothing", "[unit][host]") {
    Machine machine;
    CHECK(machine.run(program({"/bin/cat"})).value().output.empty());
    Command command = program({"/bin/cat"});
    command.input = "geheim\n" + std::string(200'000, 'x');
    CHECK(machine.run(command).value().output == command.input);
}

TEST_CASE("process: a child that does not read what it is given ends as it likes", "[unit][host]") {
    Machine machine;
    Command command = shell("exit 3");
    command.input = std::string(1'000'000, 'x');
    CHECK(machine.run(command).value().exit_code() == 3);
}

TEST_CASE("process: a child knows what it is told and nothing of our environment", "[unit][host]") {
    Machine machine;
    REQUIRE(::setenv("AGENT_TEST_SECRET", "geheim", 1) == 0);
    Command command = program({"/usr/bin/env"});
    command.environment = {{"LANG", "ja_JP.UTF-8"}, {"EXTRA", "a b=c"}};
    auto lines = split(machine.run(command).value().output, '\n');
    ::unsetenv("AGENT_TEST_SECRET");
    CHECK(std::erase_if(lines, [](const std::string& line) {
              return line.starts_with("AGENT_CHILD_OF=" + std::to_string(::getpid()) + ".");
          }) == 1);
    std::sort(lines.begin(), lines.end());
    CHECK(lines == Lines{"",
                         "EXTRA=a b=c",
                         "HOME=/root",
                         "LANG=ja_JP.UTF-8",
                         "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"});
}

TEST_CASE("process: a child stands where it is put, alone in its group, with signals as by default",
          "[unit][host]") {
    Machine machine;
    const TempRoot root;
    Command command = shell("pwd; test $(ps -o pgid= -p $$) -eq $$ && echo leader;"
                            "grep -E 'SigBlk|SigIgn' /proc/self/status");
    command.directory = root.path();
    const auto lines = split(machine.run(command).value().output, '\n');
    REQUIRE(lines.size() == 5);
    CHECK(lines[0] == std::filesystem::canonical(root.path()));
    CHECK(lines[1] == "leader");
    CHECK(lines[2] == "SigBlk:\t0000000000000000");
    const auto ignored = std::stoull(lines[3].substr(lines[3].find('\t')), nullptr, 16);
    CHECK((ignored & (1ULL << (SIGPIPE - 1))) == 0);
}

TEST_CASE("process: what cannot be started is an Error that names it", "[unit][host]") {
    Machine machine;
    const TempRoot root;
    std::ofstream{root.path() / "no program"} << "x";
    Command nowhere = program({"/bin/true"});
    nowhere.directory = root.path() / "none";
    for (const auto& command : {program({"/no/such/program"}),
                                program({(root.path() / "no program").string()}),
                                program({"true"}),
                                program({}),
                                nowhere}) {
        const auto outcome = machine.run(command);
        REQUIRE(outcome.has_error());
        CHECK_THAT(outcome.error().message, ContainsSubstring("starting"));
    }
    CHECK_THAT(machine.run(program({"/no/such/program"})).error().message,
               ContainsSubstring("/no/such/program: No such file or directory"));
}

TEST_CASE("process: a stop ends the whole group and unwinds", "[unit][host]") {
    Machine machine;
    const std::string pids =
        machine.stop_at_first_line(shell("sleep 1000 & echo $$ $!; wait; exit 0"));
    const auto both = split(pids, ' ');
    REQUIRE(both.size() == 2);
    CHECK(ends(std::stoi(both[0])));
    CHECK(ends(std::stoi(both[1])));
    CHECK(machine.is_idle());
}

TEST_CASE("process: who ignores the polite word is ended all the same", "[unit][host]") {
    Machine machine;
    const std::string pid =
        machine.stop_at_first_line(shell("trap '' TERM; echo $$; while :; do sleep 1000; done"));
    CHECK(ends(std::stoi(pid)));
}

TEST_CASE("process: once a stop is asked for nothing is started", "[unit][host]") {
    Machine machine;
    machine.stop.request_stop();
    const TempRoot root;
    const auto file = root.path() / "made";
    CHECK_THROWS_AS(machine.run(program({"/usr/bin/touch", file.string()})), Stopped);
    CHECK_FALSE(std::filesystem::exists(file));
}

TEST_CASE("process: a deadline ends the children's children as well", "[unit][host]") {
    Machine machine;
    pid_t grandchild = 0;
    Command command = shell("sleep 1000 & echo $!; wait");
    command.on_line = [&](std::string_view line) { grandchild = std::stoi(std::string{line}); };
    // A busy machine may need longer to come to the first line.
    for (command.deadline = 100ms; grandchild == 0 && command.deadline < 10s; command.deadline *= 2)
        CHECK(std::holds_alternative<TimedOut>(machine.run(command).value().status));
    REQUIRE(grandchild > 0);
    CHECK(ends(grandchild));
}

TEST_CASE("process: who holds the output open after the child's end is not waited for for ever",
          "[unit][host]") {
    Machine machine;
    Lines lines;
    Command command = shell("setsid sleep 1000 & echo $!; printf 'no end'; exit 0");
    command.on_line = [&](std::string_view line) { lines.emplace_back(line); };
    const auto outcome = machine.run(command).value();
    CHECK(outcome.exit_code() == 0);
    REQUIRE_FALSE(lines.empty());
    CHECK(lines.size() == 2); // both before run() ended
    const bool idle = machine.is_idle();
    ::kill(std::stoi(lines.front()), SIGKILL);
    CHECK(idle);
    CHECK(lines.size() == 2);
}

TEST_CASE("process: after a stop nothing is waited for, whoever holds the output open",
          "[unit][host]") {
    Machine machine;
    const std::string pid =
        machine.stop_at_first_line(shell("setsid env -i sleep 1000 & echo $!; wait"));
    const bool idle = machine.is_idle();
    ::kill(std::stoi(pid), SIGKILL);
    CHECK(idle);
}

TEST_CASE("process: a stop also ends who has left the group", "[unit][host]") {
    Machine machine;
    const std::string pid = machine.stop_at_first_line(
        shell("setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' & wait"));
    CHECK(ends(std::stoi(pid)));
    CHECK(machine.is_idle());
}

TEST_CASE("process: a command that has ended leaves nobody in its group", "[unit][host]") {
    Machine machine;
    const auto polite = machine.run(shell("sleep 1000 >&- 2>&- & echo $!")).value();
    CHECK(polite.exit_code() == 0);
    CHECK(ends(std::stoi(polite.output)));
    const auto deaf =
        shell("(trap '' TERM; exec >&- 2>&-; while :; do sleep 1000; done) & echo $!");
    CHECK(ends(std::stoi(machine.run(deaf).value().output)));
}

TEST_CASE("process: commands run side by side", "[unit][host]") {
    Machine machine;
    const TempRoot root;
    const auto fifo = (root.path() / "fifo").string();
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    std::string read;
    boost::asio::co_spawn(machine.io,
                          machine.runner.run(program({"/bin/cat", fifo})),
                          [&](const std::exception_ptr&, Result<CommandOutcome> outcome) {
                              read = outcome.value().output;
                          });
    REQUIRE(machine.run(shell("echo met > " + fifo)).value().succeeded());
    machine.io.restart();
    machine.io.run();
    CHECK(read == "met\n");
}

TEST_CASE("process: as another user a child can do no more than he", "[unit][host]") {
    if (::geteuid() != 0)
        SKIP("only root can become somebody else");
    Machine machine;
    Command command = shell("id -u; id -g; id -G; umask; grep NoNewPrivs /proc/self/status;"
                            "echo $HOME $USER $LOGNAME");
    command.as = Account{"somebody", 4242, 4343, "/home/somebody", "/bin/sh"};
    CHECK(machine.run(command).value().output ==
          "4242\n4343\n4343\n0022\nNoNewPrivs:\t1\n/home/somebody somebody somebody\n");
}

TEST_CASE("child: its end is told as often as it is asked for", "[unit][host]") {
    Machine machine;
    ProcessChildLauncher launcher{machine.io};
    const std::unique_ptr<Child> child =
        launcher.launch({{"/bin/sh", "-c", "exit 7"}, {}, "/"}).value();
    for (int i = 0; i < 2; ++i) {
        const auto end = run_coroutine(machine.io, child->wait(10s));
        REQUIRE(end.has_value());
        REQUIRE(std::holds_alternative<Exited>(*end));
        CHECK(std::get<Exited>(*end).code == 7);
    }
    child->signal(SIGKILL); // nobody is there any more
}

TEST_CASE("child: who still runs has no end, and a signal reaches his whole group",
          "[unit][host]") {
    Machine machine;
    const TempRoot root;
    const auto fifo = (root.path() / "fifo").string();
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    ProcessChildLauncher launcher{machine.io};
    const std::unique_ptr<Child> child =
        launcher.launch({{"/bin/sh", "-c", "sleep 1000 & echo $! > " + fifo + "; wait"}, {}, "/"})
            .value();
    CHECK(::getpgid(child->pid()) == child->pid());
    pid_t grandchild = 0;
    std::ifstream{fifo} >> grandchild;
    REQUIRE(grandchild > 0);
    CHECK_FALSE(run_coroutine(machine.io, child->wait(1ms)).has_value());
    child->signal(SIGTERM);
    const auto end = run_coroutine(machine.io, child->wait(10s));
    REQUIRE(end.has_value());
    REQUIRE(std::holds_alternative<Signaled>(*end));
    CHECK(std::get<Signaled>(*end).signal == SIGTERM);
    CHECK(ends(grandchild));
}

TEST_CASE("child: what cannot be started is an Error", "[unit][host]") {
    Machine machine;
    ProcessChildLauncher launcher{machine.io};
    CHECK(launcher.launch({{"/no/such/program"}, {}, "/"}).has_error());
    CHECK(launcher.launch({{"true"}, {}, "/"}).has_error());
}

TEST_CASE("process: orphans that came to us are reaped, our own children are left alone",
          "[unit][host]") {
    adopt_orphans();
    Machine machine;
    const auto orphan = std::stoi(
        machine.run(shell("setsid sh -c 'exec >&- 2>&-; exit 5' & echo $!")).value().output);
    CHECK(ends(orphan));
    CHECK(machine.run(shell("exit 6")).value().exit_code() == 6);
    reap_orphans();
    CHECK(::kill(orphan, 0) == -1);
}
