#include "agent/steps/apt_packages.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <map>

namespace agent {
namespace {

using namespace std::chrono_literals;

std::string name_of_package(const std::string& package) {
    return package.substr(0, package.find('='));
}

Command apt_command(std::vector<std::string> arguments) {
    Command command;
    command.argv = {"/usr/bin/apt-get",
                    "--quiet",
                    "--option=DPkg::Lock::Timeout=120",
                    "--option=Acquire::Retries=3",
                    "--option=Dpkg::Use-Pty=0"};
    command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
    command.environment = {{"DEBIAN_FRONTEND", "noninteractive"},
                           {"APT_LISTCHANGES_FRONTEND", "none"},
                           {"NEEDRESTART_MODE", "a"}};
    command.deadline = 30min;
    return command;
}

} // namespace

AptPackages::AptPackages(std::vector<std::string> packages) : packages_{std::move(packages)} {
    std::sort(packages_.begin(), packages_.end());
    packages_.erase(std::unique(packages_.begin(), packages_.end()), packages_.end());
}

std::string AptPackages::fingerprint() const {
    return join(packages_, " ");
}

std::vector<std::string> missing_packages(const std::vector<std::string>& packages,
                                          std::string_view dpkg_answer) {
    std::map<std::string, std::string> installed;
    for (const auto& line : split(dpkg_answer, '\n')) {
        const auto fields = split(line, '\t');
        // The second letter is what is; the first only what dpkg was told (h: to hold it).
        if (fields.size() == 3 && fields[1].size() >= 2 && fields[1][1] == 'i')
            installed[fields[0]] = fields[2];
    }
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

Error apt_error(const CommandOutcome& outcome) {
    const std::string words = outcome.output + outcome.error_tail;
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
    constexpr std::string_view passing[] = {"Could not get lock",
                                            "Unable to lock",
                                            "Temporary failure resolving",
                                            "Could not resolve",
                                            "Failed to fetch",
                                            "Hash Sum mismatch",
                                            "Could not connect",
                                            "Connection failed",
                                            "Connection timed out"};
    for (const auto sign : passing)
        if (words.find(sign) != std::string::npos)
            error.kind = ErrorKind::transient;
    if (words.find("No space left on device") != std::string::npos) {
        error.kind = ErrorKind::permanent;
        error.next = "free disk space or make the boot disk larger";
    }
    return error;
}

boost::asio::awaitable<Result<StepCheck>> AptPackages::check(StepContext& context) {
    if (packages_.empty())
        co_return StepCheck::yes("none asked for");
    Command command;
    command.argv = {"/usr/bin/dpkg-query",
                    "--show",
                    "--showformat=${Package}\\t${db:Status-Abbrev}\\t${Version}\\n",
                    "--"};
    for (const auto& package : packages_)
        command.argv.push_back(name_of_package(package));
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    // Exit 1: some are unknown; what is known was printed all the same.
    if (outcome->exit_code().value_or(2) > 1) {
        const auto failed = require_success(std::move(*outcome));
        co_return agent::context(failed.error(), "asking dpkg what is installed");
    }
    const auto missing = missing_packages(packages_, outcome->output);
    if (missing.empty())
        co_return StepCheck::yes();
    co_return StepCheck::due("not installed: " + join(missing, " "));
}

boost::asio::awaitable<Result<void>> AptPackages::apply(StepContext& context) {
    context.progress("fetching the package lists");
    Command update = apt_command({"update"});
    update.deadline = 5min;
    auto updated = co_await context.run(std::move(update));
    if (!updated)
        co_return updated.error();
    if (!updated->succeeded()) {
        Error error = apt_error(*updated);
        error.kind = ErrorKind::transient;
        co_return agent::context(std::move(error), "fetching the package lists");
    }

    context.progress("installing " + std::to_string(packages_.size()) + " packages");
    std::vector<std::string> arguments{"install", "--yes", "--no-install-recommends", "--"};
    arguments.insert(arguments.end(), packages_.begin(), packages_.end());
    auto installed = co_await context.run(apt_command(std::move(arguments)));
    if (!installed)
        co_return installed.error();
    if (!installed->succeeded())
        co_return agent::context(apt_error(*installed), "installing Debian packages");
    co_return Result<void>{};
}

} // namespace agent
