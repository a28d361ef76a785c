#include "agent/command_line.hpp"

#include "agent/base/duration.hpp"
#include "agent/ports/layout.hpp"
#include "agent/version.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace agent::command_line {
namespace {

constexpr int usage_error = 64; // EX_USAGE

} // namespace

Invocation parse(int argc, const char* const* argv) {
    CLI::App app{"Turns a bare cloud VM into a working, secure Jupyter machine.", "agent"};
    app.set_version_flag("--version", std::string{"agent "} + version());
    app.require_subcommand(1);

    Invocation invocation;
    app.add_subcommand("run", "the daemon behind agent.service: converge, then watch")
        ->callback([&] { invocation = Run{}; });

    Status status;
    std::string timeout;
    auto* status_app = app.add_subcommand(
        "status",
        "where this VM stands; exit 0 ready, 1 failed or stale, 2 degraded, 3 in progress");
    auto* json = status_app->add_flag("--json", status.json, "the whole status as one JSON object");
    status_app
        ->add_flag("--watch", status.watch, "go on showing it; with --wait until it has settled")
        ->excludes(json);
    auto* wait = status_app->add_option(
        "--wait", timeout, "wait until it has settled, at most TIMEOUT (90s, 10m, 2h)");
    wait->expected(0, 1)->type_name("[=TIMEOUT]");
    status_app->callback([&] {
        status.wait = wait->count() > 0;
        if (!timeout.empty() && timeout != "true") {
            status.timeout = parse_duration(timeout);
            if (!status.timeout)
                throw CLI::ValidationError("--wait", timeout + " is no duration like 90s or 10m");
        }
        invocation = status;
    });

    Plan plan;
    auto* plan_app = app.add_subcommand("plan", "what the next run would do, and why");
    plan_app->add_flag("--json", plan.json, "as one JSON object");
    plan_app->callback([&] { invocation = plan; });

    Log log;
    auto* log_app = app.add_subcommand("log", "what the steps said, or STEP alone");
    log_app->add_option("STEP", log.step);
    log_app->add_flag("-f,--follow", log.follow, "go on with what comes, until Ctrl-C");
    log_app->callback([&] { invocation = log; });

    Timeline timeline;
    auto* timeline_app = app.add_subcommand(
        "timeline", "the boot as a chart: each step, its start, its length, what it waited for");
    timeline_app->add_option("--svg", timeline.svg, "a picture in FILE instead; - prints it")
        ->type_name("FILE");
    timeline_app
        ->add_option("--boot", timeline.boot, "an earlier boot: its id, or -1 for the one before")
        ->type_name("BOOT");
    timeline_app->callback([&] { invocation = timeline; });

    Check check;
    auto* check_app =
        app.add_subcommand("check", "validates a config anywhere; exit 0 valid, 1 not");
    check_app->add_option("FILE", check.files)->required();
    check_app->add_flag("--json", check.json, "what is found as one JSON array");
    check_app->callback([&] { invocation = check; });

    Config config;
    auto* config_app = app.add_subcommand(
        "config", "the merged config with the origin of each value, secrets masked");
    config_app->add_flag("--json", config.json, "the same as one JSON object");
    config_app->callback([&] { invocation = config; });
    app.add_subcommand("url", "where Jupyter is; exit 1 while it is not open")->callback([&] {
        invocation = Url{};
    });
    app.add_subcommand("cert", "the certificate's SHA-256 fingerprint, names and time")
        ->callback([&] { invocation = Cert{}; });

    Password password;
    auto* password_app =
        app.add_subcommand("password", "reads a password, prints its hash for the config");
    password_app->add_flag("--set", password.set, "sets it on this machine instead (root)");
    std::string reader;
    password_app
        ->add_option("--for", reader, "notebook-6.0: a hash that notebook before 6.1 reads too")
        ->check(CLI::IsMember({"notebook-6.0"}));
    password_app->callback([&] {
        password.for_old_notebook = !reader.empty();
        invocation = password;
    });

    Shell shell;
    auto* user_shell = app.add_subcommand(
        "shell", "a shell, or COMMAND, as the machine's user in Jupyter's environment");
    user_shell->add_option("COMMAND", shell.command, "with its arguments, after --");
    user_shell->callback([&] { invocation = shell; });

    Retry retry;
    auto* retry_app = app.add_subcommand("retry", "runs what failed again, now; or STEP");
    retry_app->add_option("STEP", retry.step);
    retry_app->callback([&] { invocation = retry; });

    std::string hold_for;
    auto* hold_app = app.add_subcommand("hold", "keeps the machine up for a while: 90m, 2h");
    hold_app->add_option("DURATION", hold_for)->required();
    hold_app->callback([&] {
        const auto duration = parse_duration(hold_for);
        if (!duration || *duration <= std::chrono::milliseconds{0})
            throw CLI::ValidationError("hold", hold_for + " is no duration like 90m or 2h");
        invocation = Hold{std::chrono::ceil<std::chrono::seconds>(*duration)};
    });
    app.add_subcommand("release", "ends what `hold` began")->callback([&] {
        invocation = Release{};
    });

    Jupyter jupyter;
    auto* jupyter_app = app.add_subcommand("jupyter", "what agent-jupyter.service executes");
    jupyter_app->add_option("--program", jupyter.program)->required();
    jupyter_app->add_option("--config", jupyter.config)->required();
    jupyter_app->add_flag("--keep-groups",
                          jupyter.keep_groups,
                          "stay in the groups that are as good as root's rights");
    jupyter_app->callback([&] { invocation = jupyter; });

    Front front;
    front.backend = layout::jupyter_socket;
    auto* front_app = app.add_subcommand("front", "what agent-front.service executes");
    front_app->add_option("--backend", front.backend);
    front_app->add_option("--backend-owner", front.backend_owner, "the user id Jupyter runs as")
        ->required();
    front_app->callback([&] { invocation = front; });

    EnvironmentWorker environment;
    auto* worker = app.add_subcommand("worker")->group(""); // for the daemon alone: not in the help
    worker->require_subcommand(1);
    worker->add_subcommand("probe")->callback([&] { invocation = ProbeWorker{}; });
    worker->add_subcommand("fetch")->callback([&] { invocation = FetchWorker{}; });
    worker->add_subcommand("account")->callback([&] { invocation = AccountWorker{}; });
    worker->add_subcommand("bucket")->callback([&] { invocation = BucketWorker{}; });
    worker->add_subcommand("adopt")->callback([&] { invocation = AdoptWorker{}; });
    auto* environment_app = worker->add_subcommand("environment");
    environment_app->add_option("PREFIX", environment.prefix)->required();
    environment_app->callback([&] { invocation = environment; });
    ShellWorker shell_files;
    auto* shell_app = worker->add_subcommand("shell");
    shell_app->add_option("PREFIX", shell_files.prefix)->required();
    shell_app->add_flag("--complete", shell_files.complete);
    shell_app->callback([&] { invocation = shell_files; });
    RequirementsWorker requirements;
    auto* requirements_app = worker->add_subcommand("requirements");
    requirements_app->add_option("FILE", requirements.file)->required();
    requirements_app->add_flag("--constraints", requirements.is_constraints);
    requirements_app->callback([&] { invocation = requirements; });

    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp&) {
        return Answer{0, app.help()};
    } catch (const CLI::CallForVersion& version_asked) {
        return Answer{0, std::string{version_asked.what()} + "\n"};
    } catch (const CLI::ParseError& wrong) {
        return Answer{usage_error,
                      std::string{"agent: "} + wrong.what() + "\nsee `agent --help`\n"};
    }
    return invocation;
}

} // namespace agent::command_line
