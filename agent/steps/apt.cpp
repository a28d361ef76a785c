#include "agent/steps/apt.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto lock_patience = 2min;
constexpr auto lock_interval = 3s;

std::string name_of_package(const std::string& package) {
    return package.substr(0, package.find('='));
}

std::map<std::string, std::string> unattended() {
    return {{"DEBIAN_FRONTEND", "noninteractive"},
            {"APT_LISTCHANGES_FRONTEND", "none"},
            {"NEEDRESTART_MODE", "a"}};
}

struct Package {
    std::string name;
    std::string field; // what was asked for beside name and status
};

// Of "name\tstatus\tfield" lines those that are installed.
std::vector<Package> installed_in(std::string_view dpkg_answer) {
    std::vector<Package> installed;
    for (const auto& line : split(dpkg_answer, '\n')) {
        const auto fields = split(line, '\t');
        // The second letter is what is; the first only what dpkg was told (h: to hold it).
        if (fields.size() == 3 && fields[1].size() >= 2 && fields[1][1] == 'i')
            installed.push_back({fields[0], fields[2]});
    }
    return installed;
}

std::string words_of(const CommandOutcome& outcome) {
    return outcome.output + "\n" + outcome.error_tail;
}

// The line that begins so, without apt's "E: ".
std::optional<std::string> line_with(const CommandOutcome& outcome, std::string_view sign) {
    for (const auto& line : split(words_of(outcome), '\n'))
        if (line.find(sign) != std::string::npos) {
            const std::string_view text = line;
            return printable(text.starts_with("E: ") ? text.substr(3) : text, 200);
        }
    return std::nullopt;
}

// apt: "Could not get lock FILE. It is held by process N (NAME)"; dpkg: "dpkg frontend lock was
// locked by another process with pid N".
std::optional<std::string> lock_in_the_way(const CommandOutcome& outcome) {
    if (outcome.succeeded())
        return std::nullopt;
    auto held = line_with(outcome, "Could not get lock");
    return held ? held : line_with(outcome, "locked by another process");
}

// Runs `command` until no lock is in its way, or two minutes have passed.
boost::asio::awaitable<Result<CommandOutcome>>
run_past_locks(StepContext& context, Clock& clock, Command command) {
    const auto until = clock.now() + lock_patience;
    while (true) {
        auto outcome = co_await context.run(command);
        if (!outcome)
            co_return outcome.error();
        const auto lock = lock_in_the_way(*outcome);
        if (!lock || clock.now() >= until)
            co_return outcome;
        context.progress("waiting for another program: " + *lock);
        co_await clock.sleep(lock_interval);
    }
}

boost::asio::awaitable<Result<void>> finish_interrupted(StepContext& context, Clock& clock) {
    context.progress("finishing what an interrupted dpkg left half done");
    Command command;
    command.argv = {
        "/usr/bin/dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"};
    command.environment = unattended();
    command.deadline = 15min;
    auto outcome = co_await run_past_locks(context, clock, std::move(command));
    if (!outcome)
        co_return outcome.error();
    const bool locked = lock_in_the_way(*outcome).has_value();
    auto configured =
        require_success(std::move(*outcome), locked ? ErrorKind::transient : ErrorKind::permanent);
    if (!configured) {
        Error error = configured.error();
        if (error.next.empty())
            error.next = "run `sudo dpkg --configure -a` and see what it says";
        co_return agent::context(std::move(error), "finishing an interrupted installation");
    }
    co_return Result<void>{};
}

boost::asio::awaitable<Result<std::string>>
ask_dpkg(StepContext& context, std::string field, std::vector<std::string> names) {
    Command command;
    command.argv = {"/usr/bin/dpkg-query",
                    "--show",
                    "--showformat=${Package}\\t${db:Status-Abbrev}\\t${" + field + "}\\n"};
    if (!names.empty())
        command.argv.emplace_back("--");
    command.argv.insert(command.argv.end(), names.begin(), names.end());
    command.on_line = [](std::string_view) {};
    command.output_limit = 4U << 20;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    // Exit 1: some are unknown; what is known was printed all the same.
    if (outcome->exit_code().value_or(2) > 1) {
        const auto failed = require_success(std::move(*outcome));
        co_return agent::context(failed.error(), "asking dpkg what is installed");
    }
    co_return std::move(outcome->output);
}

struct Complaint {
    std::string_view sign;
    ErrorKind kind;
    std::string_view next;
};

constexpr Complaint complaints[] = {
    {"Could not get lock",
     ErrorKind::transient,
     "wait until that program has ended; `agent retry` tries again"},
    {"Unable to lock", ErrorKind::transient, ""},
    {"Temporary failure resolving", ErrorKind::transient, ""},
    {"Could not resolve", ErrorKind::transient, ""},
    {"Failed to fetch", ErrorKind::transient, ""},
    {"Hash Sum mismatch", ErrorKind::transient, ""},
    {"Could not connect", ErrorKind::transient, ""},
    {"Connection failed", ErrorKind::transient, ""},
    {"Connection timed out", ErrorKind::transient, ""},
    {"Certificate verification failed",
     ErrorKind::permanent,
     "if this network has certificates of its own, name them in [network] ca_certificates"},
    {"has no installation candidate",
     ErrorKind::permanent,
     "name a package that provides it in [apt] packages, or the repository that has it"},
    {"remove is disabled",
     ErrorKind::permanent,
     "a package asked for cannot be installed beside one that is there; the agent removes none"},
    {"was not found",
     ErrorKind::permanent,
     "`apt-cache policy NAME` shows the versions that there are"},
    {"No space left on device",
     ErrorKind::permanent,
     "free disk space or make the boot disk larger"},
};

} // namespace

Command apt_get(const Network& network, std::vector<std::string> arguments) {
    Command command;
    command.argv = {"/usr/bin/apt-get",
                    "--quiet",
                    "--no-remove",
                    "--option=DPkg::Lock::Timeout=120",
                    "--option=Acquire::Retries=3",
                    "--option=Dpkg::Use-Pty=0",
                    "--option=Dpkg::Options::=--force-confdef",
                    "--option=Dpkg::Options::=--force-confold"};
    const auto options = apt_network_options(network);
    command.argv.insert(command.argv.end(), options.begin(), options.end());
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.environment = unattended();
    command.environment.merge(fetching_environment(network));
    command.deadline = 30min;
    return command;
}

boost::asio::awaitable<Result<CommandOutcome>> update_lists(StepContext& context,
                                                            Clock& clock,
                                                            Network network,
                                                            std::vector<std::string> options) {
    options.emplace_back("update");
    Command update = apt_get(network, std::move(options));
    update.deadline = 5min;
    co_return co_await run_past_locks(context, clock, std::move(update));
}

boost::asio::awaitable<Result<void>> install_packages(StepContext& context,
                                                      Clock& clock,
                                                      Network network,
                                                      std::vector<std::string> packages,
                                                      Downgrades downgrades) {
    std::vector<std::string> arguments{"install", "--yes", "--no-install-recommends"};
    if (downgrades == Downgrades::allowed)
        arguments.emplace_back("--allow-downgrades");
    arguments.emplace_back("--");
    arguments.insert(arguments.end(), packages.begin(), packages.end());
    const Command install = apt_get(network, std::move(arguments));
    auto outcome = co_await context.run(install);
    if (outcome && !outcome->succeeded() && line_with(*outcome, "dpkg was interrupted")) {
        if (auto finished = co_await finish_interrupted(context, clock); !finished)
            co_return finished;
        outcome = co_await context.run(install);
    }
    if (!outcome)
        co_return outcome.error();
    if (!outcome->succeeded())
        co_return agent::context(apt_error(*outcome), "installing Debian packages");
    co_return Result<void>{};
}

boost::asio::awaitable<Result<std::vector<std::string>>>
absent_packages(StepContext& context, std::vector<std::string> packages) {
    if (packages.empty())
        co_return packages;
    std::vector<std::string> names;
    for (const auto& package : packages)
        names.push_back(name_of_package(package));
    auto known = co_await ask_dpkg(context, "Version", std::move(names));
    if (!known)
        co_return known.error();
    auto missing = missing_packages(packages, *known);
    if (missing.empty())
        co_return missing;
    auto provided = co_await ask_dpkg(context, "Provides", {});
    if (!provided)
        co_return provided.error();
    co_return unprovided_packages(missing, *provided);
}

std::vector<std::string> missing_packages(const std::vector<std::string>& packages,
                                          std::string_view dpkg_answer) {
    std::map<std::string, std::string> installed;
    for (const auto& package : installed_in(dpkg_answer))
        installed[package.name] = package.field;
    std::vector<std::string> missing;
    for (const auto& package : packages) {
        const std::string name = name_of_package(package);
        const auto found = installed.find(name);
        const bool pinned = package.size() > name.size();
        if (found == installed.end() ||
            (pinned && package.substr(name.size() + 1) != found->second))
            missing.push_back(package);
    }
    return missing;
}

std::vector<std::string> unprovided_packages(const std::vector<std::string>& packages,
                                             std::string_view dpkg_answer) {
    std::set<std::string> provided;
    for (const auto& package : installed_in(dpkg_answer))
        for (const auto& entry : split(package.field, ',')) { // "editor", "libfoo (= 1.2)"
            const std::string_view text = trim(entry);
            provided.emplace(text.substr(0, text.find(' ')));
        }
    std::vector<std::string> missing;
    for (const auto& package : packages)
        if (!provided.contains(package)) // a pin is met by no other package
            missing.push_back(package);
    return missing;
}

Error apt_error(const CommandOutcome& outcome) {
    const std::string words = words_of(outcome);
    const auto failed = require_success(outcome);
    Error error = failed ? permanent(describe(outcome)) : failed.error();
    for (const auto& line : split(words, '\n')) {
        constexpr std::string_view unknown = "E: Unable to locate package ";
        if (line.starts_with(unknown)) {
            error.message = "apt knows no package " + printable(line.substr(unknown.size()), 80);
            error.kind = ErrorKind::permanent;
            error.next =
                "check the spelling in [apt] packages, or whether this Debian release has it";
            return error;
        }
    }
    // Of several the last one holds.
    for (const auto& complaint : complaints)
        if (words.find(complaint.sign) != std::string::npos) {
            error.kind = complaint.kind;
            error.next = complaint.next;
        }
    if (error.kind == ErrorKind::transient && error.next.empty())
        error.next = "check the network, DNS and [network] proxy; `agent retry` tries again";
    return error;
}

} // namespace agent
