// Composition root: argv → command → exit status.

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/command_line.hpp"
#include "agent/commands/cert.hpp"
#include "agent/commands/check.hpp"
#include "agent/commands/control.hpp"
#include "agent/commands/log.hpp"
#include "agent/commands/password.hpp"
#include "agent/commands/status.hpp"
#include "agent/commands/url.hpp"
#include "agent/commands/watch.hpp"
#include "agent/front_main.hpp"
#include "agent/host/control_socket.hpp"
#include "agent/ports/layout.hpp"
#include "agent/run_main.hpp"
#include "agent/version.hpp"
#include "agent/workers/account.hpp"
#include "agent/workers/adopt.hpp"
#include "agent/workers/bucket.hpp"
#include "agent/workers/environment.hpp"
#include "agent/workers/fetch.hpp"
#include "agent/workers/probe.hpp"
#include "agent/workers/requirements.hpp"
#include "agent/workers/shell_files.hpp"

#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>

#include <sys/stat.h>
#include <unistd.h>

namespace {

using namespace agent;

int explain(const Error& error) {
    std::cerr << "agent: " << error.message << "\n";
    if (!error.next.empty())
        std::cerr << "  next: " << error.next << "\n";
    // sysexits.h, which agent's units know: 78 is not tried again, 75 is.
    switch (error.kind) {
    case ErrorKind::misconfigured:
        return 78;
    case ErrorKind::transient:
        return 75;
    case ErrorKind::permanent:
    case ErrorKind::waiting:
        break;
    }
    return 1;
}

int exit_status(const Result<int>& outcome) {
    return outcome ? *outcome : explain(outcome.error());
}

Colours colours_of_errors() {
    const bool wanted = ::isatty(STDERR_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
    return wanted ? Colours::on : Colours::off;
}

int ask_daemon(const ControlRequest& request) {
    UnixControlClient client{Root{} / layout::control_socket};
    return control_command(request, client, std::cout, std::cerr);
}

struct Execute {
    int operator()(const command_line::Run&) const { return exit_status(run_main()); }
    int operator()(const command_line::Status& options) const {
        const bool shows_waiting = options.wait && !options.json && ::isatty(STDOUT_FILENO) == 1;
        if (options.watch || shows_waiting) {
            using Until = WatchOptions::Until;
            return watch_command(
                {options.wait ? Until::settled : Until::interrupted, options.timeout},
                Root{},
                STDOUT_FILENO);
        }
        return status_command({options.json, options.wait, options.timeout}, Root{}, std::cout);
    }
    int operator()(const command_line::Plan& options) const {
        PlanOptions plan;
        plan.json = options.json;
        plan.colours = colours_of_errors();
        return exit_status(plan_main(plan));
    }
    int operator()(const command_line::Log& options) const {
        return log_command(
            {options.step, options.follow}, Root{}, pause_between_looks, std::cout, std::cerr);
    }
    int operator()(const command_line::Timeline& options) const {
        return exit_status(timeline_main({options.boot, options.svg}));
    }
    int operator()(const command_line::Url&) const {
        const bool terminal = ::isatty(STDOUT_FILENO) == 1;
        return url_command(
            Root{}, terminal ? Output::terminal : Output::elsewhere, std::cout, std::cerr);
    }
    int operator()(const command_line::Cert&) const {
        return cert_command(Root{}, std::cout, std::cerr);
    }
    int operator()(const command_line::Check& options) const {
        return check_command(
            {options.files, options.json, colours_of_errors()}, std::cout, std::cerr);
    }
    int operator()(const command_line::Config& options) const {
        return exit_status(config_main({options.json, colours_of_errors()}));
    }
    int operator()(const command_line::Password& options) const {
        const auto form =
            options.for_old_notebook ? std::optional{PasswordForm::salted} : std::nullopt;
        if (options.set)
            return exit_status(set_password_main(form));
        return password_command(
            STDIN_FILENO, form.value_or(PasswordForm::argon2), std::cout, std::cerr);
    }
    int operator()(const command_line::Shell& options) const {
        return exit_status(shell_main(options.command));
    }
    int operator()(const command_line::Retry& options) const {
        return ask_daemon({ControlRequest::Verb::retry, options.step, {}});
    }
    int operator()(const command_line::Hold& options) const {
        return ask_daemon({ControlRequest::Verb::hold, {}, options.duration});
    }
    int operator()(const command_line::Release&) const {
        return ask_daemon({ControlRequest::Verb::release, {}, {}});
    }
    int operator()(const command_line::Jupyter& options) const {
        return exit_status(jupyter_main(
            {.program = options.program,
             .config = options.config,
             .groups = options.keep_groups ? PowerfulGroups::kept : PowerfulGroups::left}));
    }
    int operator()(const command_line::Front& options) const {
        FrontOptions front;
        front.backend = options.backend;
        front.backend_owner = options.backend_owner;
        const auto served = front_main(std::move(front));
        return served ? 0 : explain(served.error());
    }
    int operator()(const command_line::ProbeWorker&) const { return probe_worker(); }
    int operator()(const command_line::FetchWorker&) const { return fetch_worker(build_year()); }
    int operator()(const command_line::AdoptWorker&) const { return adopt_worker(); }
    int operator()(const command_line::EnvironmentWorker& options) const {
        return environment_worker(options.prefix, std::cout);
    }
    int operator()(const command_line::ShellWorker& options) const {
        const char* home = std::getenv("HOME");
        if (!home || *home != '/') {
            std::cerr << "agent: HOME is not set\n";
            return 1;
        }
        return options.complete ? complete_shell_files(home, options.prefix, std::cerr)
                                : look_at_shell_files(home, options.prefix, std::cout);
    }
    int operator()(const command_line::RequirementsWorker& options) const {
        if (options.file == "-")
            return requirements_worker(std::cin, std::cout);
        return requirements_worker(options.file,
                                   options.is_constraints ? ListKind::constraints
                                                          : ListKind::requirements,
                                   std::cout);
    }
    int operator()(const command_line::AccountWorker&) const { return account_worker(std::cout); }
    int operator()(const command_line::BucketWorker&) const { return bucket_worker(build_year()); }
    int operator()(const command_line::Answer& answer) const {
        (answer.exit_code == 0 ? std::cout : std::cerr) << answer.text;
        return answer.exit_code;
    }
};

} // namespace

int main(int argc, char** argv) try {
    std::signal(SIGPIPE, SIG_IGN); // a peer or reader that went away is an error code, not the end
    ::umask(022);
    return std::visit(Execute{}, agent::command_line::parse(argc, argv));
} catch (const std::exception& bug) {
    std::cerr << "agent: " << bug.what() << "; please report it\n";
    return 70; // EX_SOFTWARE
}
