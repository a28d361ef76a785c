// Port: running a program and learning how it ended.
#pragma once

#include "agent/base/error.hpp"
#include "agent/ports/account.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace agent {

struct Command {
    // argv[0] is an absolute path; never a shell string, never a secret.
    std::vector<std::string> argv;
    std::chrono::milliseconds deadline{std::chrono::seconds{30}};
    // Added to (or replacing) the fixed minimum: PATH, LANG=C.UTF-8, and HOME, USER of `as`.
    std::map<std::string, std::string> environment;
    std::filesystem::path directory = "/";
    // Run as this account: setgroups, setgid, setuid, no_new_privs, umask 022. Absent: as we are.
    std::optional<Account> as;
    // What the child reads on standard input; it is the way for secrets. Empty: /dev/null.
    std::string input;
    // Each complete line of standard output and error as it comes, cut at 8 KiB, '\r' ends a line.
    std::function<void(std::string_view)> on_line;
    // Beyond this much standard output is dropped (the child is never blocked).
    std::size_t output_limit = 256 * 1024;
};

struct Exited {
    int code = 0;
};
struct Signaled {
    int signal = 0;
};
struct TimedOut {}; // the deadline passed and the process group was ended

struct CommandOutcome {
    std::vector<std::string> argv;
    std::variant<Exited, Signaled, TimedOut> status;
    std::chrono::milliseconds duration{0};
    std::string output;     // standard output, bounded
    std::string error_tail; // the last 4 KiB of standard error
    // How many processes of our service the kernel killed meanwhile for lack of memory: the
    // program, what it had started, or what ran beside it; nullopt: the kernel does not tell.
    std::optional<unsigned> killed_for_memory;

    [[nodiscard]] bool succeeded() const;
    [[nodiscard]] std::optional<int> exit_code() const;
};

class CommandRunner {
public:
    virtual ~CommandRunner() = default;
    // Fails only when no outcome could be had (not startable, pipe broken); a non-zero exit is
    // data. The child has its own process group: at the deadline it gets SIGTERM, 5 s later
    // SIGKILL, and is reaped. When the process is asked to stop the same happens and Stopped is
    // thrown.
    virtual boost::asio::awaitable<Result<CommandOutcome>> run(Command command) = 0;
};

// Whether it failed and the kernel is known to have killed for lack of memory meanwhile.
[[nodiscard]] bool lacked_memory(const CommandOutcome& outcome);
inline constexpr const char* next_for_lack_of_memory =
    "end what takes the memory (`free -h`, `ps aux --sort=-rss`), or give the VM a machine type "
    "with "
    "more of it; then `agent retry`";

// The one road from an outcome to an Error: names the program, how it ended, its last words. Lack
// of memory and of time pass: those are transient whatever `on_failure` says.
[[nodiscard]] Result<CommandOutcome> require_success(CommandOutcome outcome,
                                                     ErrorKind on_failure = ErrorKind::permanent);
// "pip exited with status 1", "pip was killed by SIGKILL", "pip did not end within 30 s and was
// ended"; with the evidence where memory was lacking.
[[nodiscard]] std::string describe(const CommandOutcome& outcome);

} // namespace agent
