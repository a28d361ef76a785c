#include "agent/steps/python_packages.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/uv_tool.hpp"

#include <algorithm>
#include <utility>

#include <unistd.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr const char* system_ca_bundle = "/etc/ssl/certs/ca-certificates.crt";

bool is_range(const std::string& requirement) {
    return requirement.find_first_of("<>~!,*") != std::string::npos;
}

// The lines of an installer's output that tell people how far it is.
bool is_milestone(std::string_view line) {
    constexpr std::string_view openings[] = {"Resolved ",
                                             "Prepared ",
                                             "Installed ",
                                             "Downloading ",
                                             "Building ",
                                             "Collecting ",
                                             "Installing collected"};
    return std::any_of(std::begin(openings), std::end(openings), [&](auto opening) {
        return line.starts_with(opening);
    });
}

// uv draws its sentences with boxes and arrows, over several lines.
std::string without_drawing(std::string_view text) {
    std::string out;
    for (const auto& line : split(text, '\n')) {
        std::string_view rest = trim(line);
        for (const std::string_view mark : {"╰─▶", "├─▶", "×", "│"})
            if (rest.starts_with(mark))
                rest = trim(rest.substr(mark.size()));
        if (!rest.empty())
            out += (out.empty() ? "" : " ") + std::string{rest};
    }
    return out;
}

// What comes before the cause is what the installer was doing, which the log keeps.
std::string from_cause(std::string text) {
    for (const std::string_view opening : {"Because ", "ERROR: ", "error: "})
        if (const auto at = text.find(opening); at != std::string::npos)
            return text.substr(at);
    return text;
}

} // namespace

std::string PythonPackages::fingerprint() const {
    auto sorted = wish_.requirements;
    std::sort(sorted.begin(), sorted.end());
    return sha256_hex(wish_.prefix.string() + "\n" + wish_.index_url + "\n" + join(sorted, "\n"));
}

std::filesystem::path PythonPackages::requirements_file() const {
    return ports_.root / (std::string{layout::runtime_directory} + "/requirements.txt");
}

boost::asio::awaitable<Result<StepCheck>> PythonPackages::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    auto environment = co_await look_at_environment(context, *user, wish_.prefix);
    if (!environment)
        co_return environment.error();
    std::vector<std::string> missing;
    std::vector<std::string> deviating;
    for (auto& requirement : unmet(wish_.requirements, *environment)) {
        const bool present = environment->packages.contains(required_name(requirement));
        (present ? deviating : missing).push_back(std::move(requirement));
    }
    for (auto& requirement : pins_.due(context, fingerprint(), deviating))
        missing.push_back(std::move(requirement));
    if (!missing.empty())
        co_return StepCheck::due("not installed: " + printable(join(missing, " "), 200));
    const bool ranges = std::any_of(wish_.requirements.begin(), wish_.requirements.end(), is_range);
    const auto last = context.last_fingerprint();
    if (ranges && last && *last != fingerprint())
        co_return StepCheck::due("the versions asked for changed");
    const std::string left_alone = pins_.report("python_packages");
    co_return StepCheck::yes(std::to_string(environment->packages.size()) + " packages" +
                             (left_alone.empty() ? "" : "; " + left_alone));
}

boost::asio::awaitable<Result<Command>> PythonPackages::uv_command(StepContext& context,
                                                                   Account user) {
    auto uv =
        co_await provide_uv(context, ports_, user, wish_.prefix, wish_.index_url, wish_.network);
    if (!uv)
        co_return uv.error();
    Command ask;
    ask.argv = {(wish_.prefix / "bin/python").string(), "-I", "-m", "pip", "config", "list"};
    ask.as = user;
    ask.on_line = [](std::string_view) {}; // may hold credentials
    auto outcome = co_await context.run(std::move(ask));
    if (!outcome)
        co_return outcome.error();
    auto environment = uv_environment(outcome->output);
    if (!environment)
        co_return environment.error();

    Command command;
    command.argv = {uv->string(),
                    "pip",
                    "install",
                    "--no-progress",
                    "--python",
                    (wish_.prefix / "bin/python").string(),
                    "--requirements",
                    requirements_file().string()};
    command.environment = std::move(*environment);
    command.environment["UV_PYTHON_DOWNLOADS"] = "never";
    command.environment["UV_SYSTEM_CERTS"] = "1";
    if (::access(system_ca_bundle, R_OK) == 0)
        command.environment["SSL_CERT_FILE"] = system_ca_bundle;
    if (!wish_.index_url.empty())
        command.environment["UV_DEFAULT_INDEX"] = wish_.index_url;
    for (const auto& [name, value] : fetching_environment(wish_.network))
        command.environment[name] = value;
    command.as = std::move(user);
    co_return command;
}

Command PythonPackages::pip_command(Account user) const {
    Command command;
    command.argv = {(wish_.prefix / "bin/python").string(),
                    "-I",
                    "-m",
                    "pip",
                    "install",
                    "--disable-pip-version-check",
                    "--no-input",
                    "--progress-bar=off",
                    "--requirement",
                    requirements_file().string()};
    if (!wish_.index_url.empty())
        command.argv.push_back("--index-url=" + wish_.index_url);
    command.environment = fetching_environment(wish_.network);
    command.as = std::move(user);
    return command;
}

boost::asio::awaitable<Result<void>> PythonPackages::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    if (auto readable = certificates_are_readable(ports_.root, wish_.network); !readable)
        co_return readable;
    if (auto written = durable_write(requirements_file(),
                                     join(pins_.to_install(wish_.requirements), "\n") + "\n",
                                     {.mode = 0644},
                                     Durability::ephemeral);
        !written)
        co_return written;

    auto uv = co_await uv_command(context, *user);
    if (!uv)
        context.log("using pip instead of uv: " + uv.error().message);
    Command command = uv ? std::move(*uv) : pip_command(*user);
    command.deadline = 1h;
    command.on_line = [&context](std::string_view line) {
        if (is_milestone(line))
            context.progress(printable(line, 120));
        else
            context.log(line);
    };
    context.progress(std::string{"resolving with "} + (uv ? "uv" : "pip"));
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    if (!outcome->succeeded())
        co_return agent::context(installer_error(*outcome), "installing Python packages");
    co_return Result<void>{};
}

Error installer_error(const CommandOutcome& outcome) {
    const std::string& words =
        trim(outcome.error_tail).empty() ? outcome.output : outcome.error_tail;
    const auto contains = [&](std::string_view sign) {
        return words.find(sign) != std::string::npos;
    };
    Error error =
        permanent(describe(outcome) + ": " + printable(from_cause(without_drawing(words)), 900));
    if (contains("No solution found") || contains("No matching distribution found") ||
        contains("was not found in the package registry") || contains("ResolutionImpossible")) {
        error.next = "correct [python] packages in the configuration: see the names above";
        return error;
    }
    if (contains("No space left on device")) {
        error.next = "free disk space or make the boot disk larger";
        return error;
    }
    for (const std::string_view sign : {"error sending request",
                                        "Failed to fetch",
                                        "Failed to download",
                                        "timed out",
                                        "Connection",
                                        "Temporary failure in name resolution",
                                        "dns error",
                                        "503 Service"})
        if (contains(sign))
            error.kind = ErrorKind::transient;
    if (std::holds_alternative<TimedOut>(outcome.status) ||
        std::holds_alternative<Signaled>(outcome.status))
        error.kind = ErrorKind::transient;
    return error;
}

} // namespace agent
