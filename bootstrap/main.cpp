// Composition root of the installer: argv → install → relay → exit status.

#include "agent/base/stop.hpp"
#include "agent/host/process.hpp"
#include "agent/host/system_clock.hpp"
#include "agent/main_loop.hpp"
#include "agent/version.hpp"
#include "bootstrap/install.hpp"
#include "bootstrap/relay.hpp"

#include <csignal>
#include <exception>
#include <iostream>
#include <stop_token>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace agent;

constexpr int usage_error = 64;
constexpr int needs_root = 77;
constexpr auto longest_setup = std::chrono::hours{2};

constexpr std::string_view usage = R"(Usage: bootstrap [install] [--no-wait]

Installs the agent on this machine and starts it; safe to repeat. Stays until the machine has settled
and exits as `agent status` would: 0 ready, 1 failed, 2 degraded. With --no-wait it returns once the
agent is started. As a startup script on GCE it needs no argument.
)";

enum class Wait { until_settled, no };

void tell(std::string_view line) {
    std::cout << "agent: " << line << std::endl;
}

void keep_silent(std::string_view /*line*/) {}

int explain(const Error& error) {
    std::cerr << "bootstrap: " << error.message << "\n";
    if (!error.next.empty())
        std::cerr << "  next: " << error.next << "\n";
    return 1;
}

boost::asio::awaitable<int> life(CommandRunner& commands, Clock& clock, Wait wait) {
    const Root root;
    auto installed = co_await install(commands, root, tell);
    if (!installed)
        co_return explain(installed.error());
    // On the serial console the daemon itself tells how it goes.
    const bool on_console = output_goes_to_console(root);
    if (*installed == Installed::now)
        tell("installed and started agent.service");
    else if (!on_console)
        tell("everything was installed already; agent.service is started");
    if (wait == Wait::no)
        co_return 0;
    co_return co_await relay_until_settled(
        root, clock, longest_setup, on_console ? keep_silent : tell);
}

} // namespace

int main(int argc, char** argv) try {
    std::signal(SIGPIPE, SIG_IGN);
    ::umask(022);
    Wait wait = Wait::until_settled;
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        if (argument == "--no-wait") {
            wait = Wait::no;
        } else if (argument == "--version") {
            std::cout << "bootstrap " << agent::version() << "\n";
            return 0;
        } else if (argument == "--help" || argument == "-h") {
            std::cout << usage;
            return 0;
        } else if (argument != "install") {
            std::cerr << "bootstrap: unknown argument " << argument << "\n" << usage;
            return usage_error;
        }
    }
    if (::geteuid() != 0) {
        std::cerr << "bootstrap: must be root; use sudo\n";
        return needs_root;
    }
    boost::asio::io_context io{1};
    std::stop_source stop;
    agent::ProcessCommandRunner commands{io, stop.get_token()};
    agent::SystemClock clock{io, stop.get_token()};
    return agent::run_main_loop(io, stop, life(commands, clock, wait));
} catch (const agent::Stopped&) {
    std::cerr << "bootstrap: stopped; the agent goes on as agent.service\n";
    return 3;
} catch (const std::exception& bug) {
    std::cerr << "bootstrap: " << bug.what() << "; please report it\n";
    return 70;
}
