#include "agent/host/process.hpp"

#include "agent/base/stop.hpp"
#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/host/lineage.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/writable_pipe.hpp>
#include <boost/asio/write.hpp>
#include <boost/process/v2/process.hpp>

#include <csignal>
#include <set>

#include <fcntl.h>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace agent {
namespace {

namespace asio = boost::asio;
namespace process = boost::process::v2;
using boost::system::error_code;
using namespace std::chrono_literals;

constexpr auto grace = 5s;      // between SIGTERM and SIGKILL
constexpr auto rest_grace = 1s; // the same, for what a command that has ended left in its group
constexpr auto rest_poll = 20ms;
constexpr auto drain_time = 2s; // for output that a grandchild may hold open
constexpr std::size_t line_limit = 8 * 1024;
constexpr std::size_t error_tail_limit = 4 * 1024;

// Our own children that have not been reaped yet: reap_orphans() must not take their status.
std::set<pid_t>& living_children() {
    static std::set<pid_t> pids;
    return pids;
}

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};

Result<Pipe> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("making a pipe", errno);
    return Pipe{UniqueFd{ends[0]}, UniqueFd{ends[1]}};
}

// Boost.Process initializer: everything between fork and exec. Classified by errno on failure.
struct ChildSetup {
    int in = -1;
    int out = -1;
    int err = -1;
    const std::vector<const char*>* environment = nullptr;
    const std::filesystem::path* directory = nullptr;
    const std::optional<Account>* as = nullptr;

    error_code on_setup(process::posix::default_launcher& launcher,
                        const process::filesystem::path&,
                        const char* const*) const {
        launcher.env = environment->data();
        return {};
    }

    error_code on_exec_setup(process::posix::default_launcher&,
                             const process::filesystem::path&,
                             const char* const*) const {
        return set_up() ? error_code{} : error_code{errno, boost::system::system_category()};
    }

private:
    [[nodiscard]] bool set_up() const {
        sigset_t none;
        sigemptyset(&none);
        const struct rlimit no_core{0, 0};
        be_ordinary_to_the_oom_killer();
        if (::setpgid(0, 0) != 0 || ::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
            ::signal(SIGPIPE, SIG_DFL) == SIG_ERR ||
            ::sigprocmask(SIG_SETMASK, &none, nullptr) != 0 ||
            ::setrlimit(RLIMIT_CORE, &no_core) != 0)
            return false;
        for (const auto& [from, to] : {std::pair{in, 0}, std::pair{out, 1}, std::pair{err, 2}})
            if (from >= 0 && ::dup2(from, to) < 0)
                return false;
        if (*as && !become(**as))
            return false;
        return ::chdir(directory->c_str()) == 0;
    }

    // agent.service's low score is the daemon's own; a pip that takes all memory must not inherit
    // it.
    static void be_ordinary_to_the_oom_killer() {
        const UniqueFd fd{::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)};
        if (fd) [[maybe_unused]]
            const auto written = ::write(fd.get(), "0", 1);
    }

    static bool become(const Account& account) {
        ::umask(022);
        if (::setgroups(1, &account.gid) != 0 || ::setgid(account.gid) != 0 ||
            ::setuid(account.uid) != 0 || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            return false;
        // setuid clears the parent-death signal.
        return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    }
};

using Process = process::basic_process<asio::io_context::executor_type>;

// Reaps without ever blocking; true once it has. Boost.Process 1.81's own async_wait trusts one
// event of the reactor and then blocks in waitpid: Asio delivers a stale one when a descriptor's
// state is reused in the round in which another descriptor was closed.
bool reaped(Process& child) {
    const pid_t pid = child.id();
    error_code failure;
    if (child.running(failure) && !failure)
        return false;
    living_children().erase(pid);
    return true;
}

asio::awaitable<void> await_end(asio::io_context& io, Process& child) {
    const int watch = static_cast<int>(::syscall(SYS_pidfd_open, child.id(), 0));
    asio::posix::stream_descriptor ended{io};
    if (watch >= 0)
        ended.assign(watch);
    asio::steady_timer poll{io};
    while (!reaped(child)) {
        error_code ignored;
        if (ended.is_open()) {
            co_await ended.async_wait(asio::posix::stream_descriptor::wait_read,
                                      asio::redirect_error(asio::use_awaitable, ignored));
        } else { // no descriptor was left for it
            poll.expires_after(100ms);
            co_await poll.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
    }
}

Result<Process> spawn(asio::io_context& io,
                      const std::vector<std::string>& argv,
                      const std::map<std::string, std::string>& environment,
                      ChildSetup setup) {
    if (argv.empty() || !argv.front().starts_with('/'))
        return permanent("starting a program: its path must be absolute");
    std::vector<std::string> assignments;
    for (const auto& [name, value] : environment)
        assignments.push_back(name + "=" + value);
    std::vector<const char*> pointers;
    for (const auto& assignment : assignments)
        pointers.push_back(assignment.c_str());
    pointers.push_back(nullptr);
    setup.environment = &pointers;

    error_code failure;
    process::posix::default_launcher launcher;
    const std::vector<std::string> arguments{argv.begin() + 1, argv.end()};
    Process child = launcher(io.get_executor(), failure, argv.front(), arguments, setup);
    if (failure)
        return system_error("starting " + argv.front(), failure.value());
    living_children().insert(child.id());
    return child;
}

std::variant<Exited, Signaled> ending(int wait_status) {
    if (WIFSIGNALED(wait_status))
        return Signaled{WTERMSIG(wait_status)};
    return Exited{WEXITSTATUS(wait_status)};
}

// Cuts a byte stream into lines for on_line; '\r' ends a line too (progress bars).
class LineCutter {
public:
    explicit LineCutter(const std::function<void(std::string_view)>& sink) : sink_{sink} {}

    void feed(std::string_view bytes) {
        if (!sink_)
            return;
        for (const char c : bytes) {
            if (c == '\n' || c == '\r')
                flush();
            else if (line_.size() < line_limit)
                line_ += c;
        }
    }
    void flush() {
        if (sink_ && !line_.empty())
            sink_(line_);
        line_.clear();
    }

private:
    const std::function<void(std::string_view)>& sink_;
    std::string line_;
};

// What the coroutines of one command share; it outlives whichever of them ends last.
struct Running {
    Running(asio::io_context& io, Command wanted, Process started)
        : command{std::move(wanted)}, child{std::move(started)}, input{io}, output{io}, errors{io},
          changed{io, asio::steady_timer::time_point::max()} {}

    Command command;
    Process child;
    asio::writable_pipe input;
    asio::readable_pipe output;
    asio::readable_pipe errors;
    asio::steady_timer changed; // cancelled on each change: a condition variable
    CommandOutcome outcome;
    std::exception_ptr failure;
    unsigned open_pipes = 0;
    bool exited = false;
    bool stop_requested = false;

    // Also those who left the group.
    void end_all(int number) const {
        ::kill(-child_pid, number);
        signal_lineage(command.environment.at(lineage_variable), number);
    }
    [[nodiscard]] bool group_is_empty() const { return ::kill(-child_pid, 0) != 0; }
    pid_t child_pid = child.id();
};
using RunningPointer = std::shared_ptr<Running>;

asio::awaitable<void> pump(RunningPointer running, asio::readable_pipe& pipe, bool is_output) {
    LineCutter lines{running->command.on_line};
    std::string buffer(16 * 1024, '\0');
    while (true) {
        error_code failure;
        const std::size_t count = co_await pipe.async_read_some(
            asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, failure));
        if (failure)
            break;
        const std::string_view bytes{buffer.data(), count};
        lines.feed(bytes);
        auto& outcome = running->outcome;
        if (is_output) {
            const std::size_t room = running->command.output_limit - outcome.output.size();
            outcome.output.append(bytes.substr(0, room));
        } else {
            outcome.error_tail.append(bytes);
            if (outcome.error_tail.size() > 2 * error_tail_limit)
                outcome.error_tail.erase(0, outcome.error_tail.size() - error_tail_limit);
        }
    }
    lines.flush();
}

asio::awaitable<void> feed(RunningPointer running) {
    error_code ignored; // a child that does not read its input shows it in its exit status
    co_await asio::async_write(running->input,
                               asio::buffer(running->command.input),
                               asio::redirect_error(asio::use_awaitable, ignored));
    running->input.close(ignored);
}

asio::awaitable<void> await_exit(asio::io_context& io, RunningPointer running) {
    co_await await_end(io, running->child);
    running->exited = true;
}

// g++ 12 miscompiles a co_await with arguments of class type in a condition: what follows takes
// references into the frame of run() and names what it waits for.

enum class Woken { by_change, by_time };

asio::awaitable<Woken> wait_for_change(Running& running, asio::steady_timer::time_point until) {
    running.changed.expires_at(until);
    error_code cancelled;
    co_await running.changed.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    co_return cancelled ? Woken::by_change : Woken::by_time;
}

asio::awaitable<void> wait_until_exited(Running& running, asio::steady_timer::time_point until) {
    Woken woken = Woken::by_change;
    while (!running.exited && !running.stop_requested && woken == Woken::by_change)
        woken = co_await wait_for_change(running, until);
}

// Ends everything that the command started: politely, then surely. Returns once the child was
// reaped.
asio::awaitable<void> end_politely(Running& running) {
    running.end_all(SIGTERM);
    const auto until = asio::steady_timer::clock_type::now() + grace;
    Woken woken = Woken::by_change;
    while (!running.exited && woken == Woken::by_change)
        woken = co_await wait_for_change(running, until);
    running.end_all(SIGKILL);
    while (!running.exited)
        co_await wait_for_change(running, asio::steady_timer::time_point::max());
}

// A command that has ended leaves nobody in its group. Who has left the group as well (a service
// that a package's script started) was meant to stay.
asio::awaitable<void> end_rest(asio::io_context& io, Running& running) {
    if (running.group_is_empty())
        co_return;
    ::kill(-running.child_pid, SIGTERM);
    const auto until = asio::steady_timer::clock_type::now() + rest_grace;
    asio::steady_timer poll{io};
    while (!running.group_is_empty() && asio::steady_timer::clock_type::now() < until) {
        reap_orphans();
        poll.expires_after(rest_poll);
        error_code ignored;
        co_await poll.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    ::kill(-running.child_pid, SIGKILL);
}

// Whoever still holds the output open after the child's end is not waited for for ever.
asio::awaitable<void> drain(Running& running) {
    const auto until = asio::steady_timer::clock_type::now() + drain_time;
    Woken woken = Woken::by_change;
    while (running.open_pipes > 0 && woken == Woken::by_change)
        woken = co_await wait_for_change(running, until);
}

// Returns once nobody reads any more: on_line is not called after run() has ended.
asio::awaitable<void> close_pipes(Running& running) {
    error_code ignored;
    running.input.close(ignored);
    running.output.close(ignored);
    running.errors.close(ignored);
    while (running.open_pipes > 0)
        co_await wait_for_change(running, asio::steady_timer::time_point::max());
}

void fill_environment(Command& command) {
    command.environment.try_emplace("PATH",
                                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.environment.try_emplace("LANG", "C.UTF-8");
    command.environment[lineage_variable] = new_lineage();
    if (command.as) {
        command.environment.try_emplace("HOME", command.as->home.string());
        command.environment.try_emplace("USER", command.as->name);
        command.environment.try_emplace("LOGNAME", command.as->name);
    } else {
        command.environment.try_emplace("HOME", "/root");
    }
}

Result<RunningPointer> start(asio::io_context& io, Command command) {
    auto out = make_pipe();
    if (!out)
        return out.error();
    auto err = make_pipe();
    if (!err)
        return err.error();
    Pipe in;
    if (command.input.empty()) {
        in.read = UniqueFd{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    } else {
        auto pipe = make_pipe();
        if (!pipe)
            return pipe.error();
        in = std::move(*pipe);
    }
    ChildSetup setup;
    setup.in = in.read.get();
    setup.out = out->write.get();
    setup.err = err->write.get();
    setup.directory = &command.directory;
    setup.as = &command.as;
    auto child = spawn(io, command.argv, command.environment, setup);
    if (!child)
        return child.error();
    auto running = std::make_shared<Running>(io, std::move(command), std::move(*child));
    running->output.assign(out->read.release());
    running->errors.assign(err->read.release());
    if (in.write)
        running->input.assign(in.write.release());
    return running;
}

// Spawns one of the command's coroutines; its end is a change.
template <class OnEnd>
void spawn_part(asio::io_context& io,
                const RunningPointer& running,
                asio::awaitable<void> part,
                OnEnd on_end) {
    asio::co_spawn(io, std::move(part), [running, on_end](const std::exception_ptr& failure) {
        if (failure)
            running->failure = failure;
        on_end(*running);
        running->changed.cancel();
    });
}

class PosixChild : public Child {
public:
    PosixChild(asio::io_context& io, Process process)
        : state_{std::make_shared<State>(io, std::move(process))} {
        asio::co_spawn(io, reap(io, state_), [state = state_](const std::exception_ptr&) {
            state->changed.cancel();
        });
    }
    ~PosixChild() override = default;

    [[nodiscard]] pid_t pid() const override { return state_->pid; }

    void signal(int number) override {
        if (!state_->status)
            ::kill(-state_->pid, number);
    }

    asio::awaitable<std::optional<std::variant<Exited, Signaled>>>
    wait(std::chrono::milliseconds longest) override {
        const auto state = state_;
        if (!state->status) {
            state->changed.expires_after(longest);
            error_code ignored;
            co_await state->changed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
        }
        co_return state->status;
    }

private:
    struct State {
        State(asio::io_context& io, Process started)
            : child{std::move(started)}, changed{io}, pid{child.id()} {}
        Process child;
        asio::steady_timer changed;
        pid_t pid;
        std::optional<std::variant<Exited, Signaled>> status;
    };

    static asio::awaitable<void> reap(asio::io_context& io, std::shared_ptr<State> state) {
        co_await await_end(io, state->child);
        state->status = ending(state->child.native_exit_code());
    }

    std::shared_ptr<State> state_;
};

} // namespace

asio::awaitable<Result<CommandOutcome>> ProcessCommandRunner::run(Command command) {
    throw_if_stopped(stop_);
    fill_environment(command);
    const auto argv = command.argv;
    const auto begin = asio::steady_timer::clock_type::now();
    const auto deadline = begin + command.deadline;
    auto started = start(io_, std::move(command));
    if (!started)
        co_return started.error();
    const RunningPointer& running = *started;

    const auto pipe_closed = [](Running& state) { --state.open_pipes; };
    running->open_pipes = 2;
    spawn_part(io_, running, pump(running, running->output, true), pipe_closed);
    spawn_part(io_, running, pump(running, running->errors, false), pipe_closed);
    spawn_part(io_, running, await_exit(io_, running), [](Running&) {});
    if (running->input.is_open())
        spawn_part(io_, running, feed(running), [](Running&) {});
    const std::stop_callback on_stop{stop_, [running] {
                                         running->stop_requested = true;
                                         running->changed.cancel();
                                     }};

    co_await wait_until_exited(*running, deadline);
    const bool in_time = running->exited;
    if (!running->exited)
        co_await end_politely(*running);
    else
        co_await end_rest(io_, *running);
    const bool stopped = running->stop_requested;
    if (!stopped)
        co_await drain(*running);
    co_await close_pipes(*running);
    reap_orphans();
    if (stopped)
        throw Stopped{};
    if (running->failure)
        std::rethrow_exception(running->failure);

    CommandOutcome outcome = std::move(running->outcome);
    outcome.argv = argv;
    outcome.duration = std::chrono::duration_cast<std::chrono::milliseconds>(
        asio::steady_timer::clock_type::now() - begin);
    if (outcome.error_tail.size() > error_tail_limit)
        outcome.error_tail.erase(0, outcome.error_tail.size() - error_tail_limit);
    if (!in_time)
        outcome.status = TimedOut{};
    else
        std::visit([&](auto status) { outcome.status = status; },
                   ending(running->child.native_exit_code()));
    co_return outcome;
}

Result<std::unique_ptr<Child>> ProcessChildLauncher::launch(ChildProgram program) {
    const UniqueFd nothing{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
    const std::optional<Account> as_we_are;
    ChildSetup setup;
    setup.in = nothing.get();
    setup.directory = &program.directory;
    setup.as = &as_we_are;
    auto child = spawn(io_, program.argv, program.environment, setup);
    if (!child)
        return child.error();
    return std::unique_ptr<Child>{std::make_unique<PosixChild>(io_, std::move(*child))};
}

void adopt_orphans() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void reap_orphans() {
    while (true) {
        siginfo_t info{};
        if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return;
        if (living_children().contains(info.si_pid))
            return; // its own coroutine takes it; orphans behind it are reaped next time
        ::waitpid(info.si_pid, nullptr, WNOHANG);
    }
}

} // namespace agent
