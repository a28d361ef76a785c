#include "agent/steps/apt.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/steps/wrong_clock.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto lock_patience = 10min; // unattended-upgrades takes that long on an old image
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

// Up to the first of `ends`.
std::string_view up_to(std::string_view text, std::string_view ends) {
    return text.substr(0, text.find_first_of(ends));
}

std::string_view after(std::string_view text, std::string_view sign) {
    const auto at = text.find(sign);
    return at == std::string_view::npos ? std::string_view{} : text.substr(at + sign.size());
}

// Its program, and the script where that is an interpreter. No further words of its command line:
// what somebody else runs may have a secret there.
std::string program_of(const Root& root, std::string_view process) {
    const auto read = read_file(root / ("/proc/" + std::string{process} + "/cmdline"));
    if (!read || !*read)
        return {};
    const auto words = split(**read, '\0');
    return words.size() > 1 && words[1].starts_with('/') ? words[0] + " " + words[1] : words[0];
}

// Another program's lock.
struct Lock {
    std::string file;
    std::string holder;
};

// apt: "Could not get lock FILE. It is held by process N (NAME)"; dpkg: "dpkg: error: dpkg frontend
// lock was locked by another process with pid N", or since Debian 13 "by PROGRAM process with".
std::optional<Lock> lock_in_the_way(const Root& root, const CommandOutcome& outcome) {
    if (outcome.succeeded())
        return std::nullopt;
    constexpr std::string_view by_apt = "Could not get lock ";
    constexpr std::string_view by_dpkg = " lock was locked by ";
    std::optional<std::string> line = line_with(outcome, by_apt);
    if (!line)
        line = line_with(outcome, by_dpkg);
    if (!line)
        return std::nullopt;
    Lock lock{"dpkg's lock", "another program"};
    if (std::string_view file = up_to(after(*line, by_apt), " "); !file.empty())
        lock.file = file.ends_with('.') ? file.substr(0, file.size() - 1) : file;
    auto process = up_to(after(*line, "held by process "), " ");
    if (process.empty())
        process = up_to(after(*line, " with pid "), " ");
    if (process.empty() || process.find_first_not_of("0123456789") != std::string_view::npos)
        return lock;
    std::string program = program_of(root, process);
    if (program.empty())
        program = up_to(after(*line, std::string{process} + " ("), ")");
    lock.holder = "process " + std::string{process};
    if (!program.empty())
        lock.holder += " (" + printable(program, 120) + ")";
    return lock;
}

// What apt is at now, in a phrase, if the line says so.
std::string phrase_of(std::string_view line) {
    if (line.starts_with("Get:") || line.starts_with("Hit:"))
        return "fetching";
    for (const auto& [sign, phrase] :
         {std::pair{"Unpacking ", "unpacking "}, std::pair{"Setting up ", "setting up "}})
        if (line.starts_with(sign)) {
            std::string_view what = after(line, sign);
            if (what.ends_with(" ..."))
                what.remove_suffix(4);
            return phrase + printable(what, 120);
        }
    return {};
}

// Runs `command` until no lock is in its way, or the patience is at its end.
boost::asio::awaitable<Result<CommandOutcome>>
run_past_locks(StepContext& context, const StepPorts& ports, Command command) {
    const auto until = ports.clock.now() + lock_patience;
    const std::string minutes = std::to_string(lock_patience.count()) + " min";
    std::string told;
    command.on_line = [&context, &told](std::string_view line) {
        context.log(line);
        const std::string phrase = phrase_of(line);
        if (!phrase.empty() && phrase != told)
            context.progress(told = phrase);
    };
    while (true) {
        auto outcome = co_await context.run(command);
        if (!outcome)
            co_return outcome.error();
        const auto lock = lock_in_the_way(ports.root, *outcome);
        if (!lock)
            co_return outcome;
        if (ports.clock.now() >= until)
            co_return transient(lock->file + " has been held for " + minutes + " by " +
                                    lock->holder,
                                "wait until that program has ended, or end it; `agent retry` "
                                "tries again");
        const std::string phrase =
            "waiting up to " + minutes + " for " + lock->holder + ", which holds " + lock->file;
        if (phrase != told)
            context.held_up(told = phrase);
        co_await ports.clock.sleep(lock_interval);
    }
}

boost::asio::awaitable<Result<void>> finish_interrupted(StepContext& context,
                                                        const StepPorts& ports) {
    context.progress("finishing what an interrupted dpkg left half done");
    Command command;
    command.argv = {
        "/usr/bin/dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"};
    command.environment = unattended();
    command.deadline = 15min;
    auto outcome = co_await run_past_locks(context, ports, std::move(command));
    if (!outcome)
        co_return outcome.error();
    // 1: a package's script failed. apt meets it again, and says what becomes of what was asked.
    if (outcome->exit_code() == 1)
        co_return Result<void>{};
    auto configured = require_success(std::move(*outcome));
    if (!configured) {
        Error error = configured.error();
        if (error.next.empty())
            error.next = "run `sudo dpkg --configure -a` and see what it says";
        co_return agent::context(std::move(error), "finishing an interrupted installation");
    }
    co_return Result<void>{};
}

// Runs apt-get; what is in its way and can be put right without removing anything is put right,
// once: an interrupted dpkg, and packages that somebody installed without what they need.
boost::asio::awaitable<Result<CommandOutcome>> run_repairing(StepContext& context,
                                                             const StepPorts& ports,
                                                             const Network& network,
                                                             const Command& command) {
    bool finished = false;
    bool completed = false;
    while (true) {
        auto outcome = co_await run_past_locks(context, ports, command);
        if (!outcome || outcome->succeeded())
            co_return outcome;
        if (!finished && line_with(*outcome, "dpkg was interrupted")) {
            finished = true;
            auto done = co_await finish_interrupted(context, ports);
            if (!done)
                co_return done.error();
        } else if (!completed && line_with(*outcome, "Try 'apt --fix-broken install'")) {
            completed = true;
            context.progress("installing what packages that are there already lack");
            std::vector<std::string> arguments{
                "install", "--yes", "--no-install-recommends", "--fix-broken"};
            auto done =
                co_await run_past_locks(context, ports, apt_get(network, std::move(arguments)));
            if (!done)
                co_return done.error();
        } else {
            co_return outcome;
        }
    }
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
    // What apt says of a dpkg that was killed.
    {"dpkg exited unexpectedly", ErrorKind::transient, "what killed dpkg? see `dmesg`"},
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

// The indented lines below `header`.
std::vector<std::string> listed_below(const CommandOutcome& outcome, std::string_view header) {
    std::vector<std::string> listed;
    bool below = false;
    for (const auto& line : split(outcome.output, '\n')) {
        if (below && !line.starts_with(' '))
            break;
        if (below)
            listed.push_back(printable(trim(line), 200));
        below = below || line.starts_with(header);
    }
    return listed;
}

std::string last_phrase(const CommandOutcome& outcome) {
    std::string last;
    for (const auto& line : split(outcome.output, '\n'))
        if (auto phrase = phrase_of(line); !phrase.empty())
            last = std::move(phrase);
    return last;
}

// What the script of a package that dpkg set up last said on standard output.
std::vector<std::string> said_below_its_name(const CommandOutcome& outcome,
                                             const std::string& package) {
    std::vector<std::string> said;
    for (const auto& line : split(outcome.output, '\n')) {
        if (line.starts_with("Setting up " + package + " "))
            said.clear();
        else if (!phrase_of(line).empty())
            said = {};
        else if (!trim(line).empty())
            said.emplace_back(trim(line));
    }
    return said;
}

// "dpkg: error processing package NAME (--configure):", what is wrong in the next line; above both
// are the last words of the package's own script.
void tell_of_failed_package(Error& error, const CommandOutcome& outcome) {
    constexpr std::string_view sign = "dpkg: error processing ";
    const auto lines = split(outcome.error_tail, '\n');
    const auto line = std::find_if(
        lines.begin(), lines.end(), [&](const std::string& one) { return one.starts_with(sign); });
    if (line == lines.end() || line + 1 == lines.end())
        return;
    const std::string_view what = after(after(*line, sign), " "); // NAME (--DOING):
    const std::string package{up_to(what, " ")};
    std::vector<std::string> said;
    for (auto word = lines.begin(); word != line; ++word)
        if (!word->starts_with("dpkg:") && !word->starts_with("debconf: delaying") &&
            !trim(*word).empty())
            said.emplace_back(trim(*word));
    if (said.empty())
        said = said_below_its_name(outcome, package);
    error.message = printable(package, 120) + ": " + printable(trim(*(line + 1)), 200);
    if (!said.empty())
        error.message += "; its last words: " + printable(said.back(), 200);
    error.next = "see `agent log` and put right what it complains of; `sudo dpkg --configure -a` "
                 "shows whether it is, `agent retry` goes on";
}

bool is_named_in(const std::string& package, std::string_view text) {
    const auto is_of_a_name = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' || c == '.';
    };
    for (auto at = text.find(package); at != std::string_view::npos;
         at = text.find(package, at + 1)) {
        const auto end = at + package.size();
        if ((at == 0 || !is_of_a_name(text[at - 1])) &&
            (end == text.size() || !is_of_a_name(text[end])))
            return true;
    }
    return false;
}

// Which packages do not go together, and which of them somebody told dpkg to keep as it is.
void tell_of_unmet_dependencies(Error& error,
                                const CommandOutcome& outcome,
                                const std::vector<std::string>& on_hold) {
    const auto unhold = [](const std::string& names) {
        return names + (names.find(' ') == std::string::npos ? " is" : " are") +
               " on hold: `sudo apt-mark unhold " + names + "` lets apt change that";
    };
    if (line_with(outcome, "Held packages were changed")) {
        const std::string names =
            join(listed_below(outcome, "The following held packages will be changed:"), " ");
        error = permanent("apt would have to change what is on hold: " + names, unhold(names));
        return;
    }
    if (const auto line = line_with(outcome, "needs to be reinstalled, but I can't find")) {
        const std::string name{up_to(after(*line, "The package "), " ")};
        error = permanent(*line,
                          "it is half unpacked; `sudo dpkg --remove --force-remove-reinstreq " +
                              name + "` takes it away");
        return;
    }
    if (line_with(outcome, "remove is disabled")) {
        const auto names = listed_below(outcome, "The following packages will be REMOVED:");
        if (!names.empty())
            error.message += ": " + join(names, " ");
        return;
    }
    auto unmet = listed_below(outcome, "The following packages have unmet dependencies:");
    if (unmet.empty())
        return;
    unmet.resize(std::min<std::size_t>(unmet.size(), 3));
    const std::string text = join(unmet, "; ");
    error = permanent("packages that do not go together: " + text);
    std::string names;
    for (const auto& package : on_hold)
        if (is_named_in(package, text))
            names += (names.empty() ? "" : " ") + package;
    if (!names.empty())
        error.next = unhold(names);
    else if (line_with(outcome, "Try 'apt --fix-broken install'"))
        error.next = "they were there before; `sudo apt-get --fix-broken install` shows what apt "
                     "would remove, which the agent never does";
    else
        error.next = "ask for others in [apt] packages, or name the repository that has what they "
                     "lack";
}

} // namespace

Command apt_get(const Network& network, std::vector<std::string> arguments) {
    Command command;
    command.argv = {"/usr/bin/apt-get",
                    "--quiet",
                    "--no-remove",
                    "--option=DPkg::Lock::Timeout=0", // run_past_locks() waits, and says for whom
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
                                                            StepPorts ports,
                                                            Network network,
                                                            std::vector<std::string> options) {
    co_await await_right_clock(context,
                               ports.clock); // else no list's date is right, nor a certificate's
    options.emplace_back("update");
    Command update = apt_get(network, std::move(options));
    update.deadline = 5min;
    co_return co_await run_past_locks(context, ports, std::move(update));
}

boost::asio::awaitable<Result<void>> install_packages(StepContext& context,
                                                      StepPorts ports,
                                                      Network network,
                                                      std::vector<std::string> packages,
                                                      Downgrades downgrades) {
    // apt takes a package whose unpacking was cut off as installed, unless it is told.
    auto statuses = co_await ask_dpkg(context, "binary:Package", {});
    if (!statuses)
        co_return statuses.error();
    auto cut_off = half_unpacked_packages(*statuses);
    if (!cut_off.empty()) {
        context.progress("unpacking again what was cut off: " + printable(join(cut_off, " "), 200));
        std::vector<std::string> arguments{
            "install", "--yes", "--no-install-recommends", "--reinstall", "--"};
        arguments.insert(arguments.end(), cut_off.begin(), cut_off.end());
        const Command again = apt_get(network, std::move(arguments));
        auto outcome = co_await run_repairing(context, ports, network, again);
        if (!outcome)
            co_return outcome.error();
        if (!outcome->succeeded())
            co_return agent::context(apt_error(*outcome),
                                     "unpacking again what was cut off: " + join(cut_off, " "));
    }
    std::vector<std::string> arguments{"install", "--yes", "--no-install-recommends"};
    if (downgrades == Downgrades::allowed)
        arguments.emplace_back("--allow-downgrades");
    arguments.emplace_back("--");
    arguments.insert(arguments.end(), packages.begin(), packages.end());
    Command install = apt_get(network, std::move(arguments));
    install.output_limit = 4U << 20;
    auto outcome = co_await run_repairing(context, ports, network, install);
    if (!outcome)
        co_return outcome.error();
    if (outcome->succeeded())
        co_return Result<void>{};
    auto absent = co_await absent_packages(context, packages);
    if (absent && absent->empty()) {
        context.log("what is asked for is installed; about another package apt says: " +
                    apt_error(*outcome).message);
        co_return Result<void>{};
    }
    co_return agent::context(apt_error(*outcome, held_packages(*statuses)),
                             "installing Debian packages");
}

boost::asio::awaitable<Result<PackagesThere>> packages_there(StepContext& context,
                                                             std::vector<std::string> packages) {
    PackagesThere there;
    if (packages.empty())
        co_return there;
    std::vector<std::string> names = names_to_ask(packages);
    for (const auto& package : packages)
        if (std::string name = name_of_package(package);
            std::find(names.begin(), names.end(), name) == names.end())
            names.push_back(std::move(name));
    auto known = co_await ask_dpkg(context, "Version", std::move(names));
    if (!known)
        co_return known.error();
    std::set<std::string> installed;
    for (const auto& package : installed_in(*known))
        installed.insert(package.name);
    for (const auto& package : missing_packages(packages, *known)) {
        const std::string newer =
            name_of_package(package) == package ? newer_name_in(package, installed) : "";
        if (newer.empty())
            there.absent.push_back(package);
        else
            there.renamed.push_back(package + " as " + newer);
    }
    if (there.absent.empty())
        co_return there;
    auto provided = co_await ask_dpkg(context, "Provides", {});
    if (!provided)
        co_return provided.error();
    there.absent = unprovided_packages(there.absent, *provided);
    co_return there;
}

boost::asio::awaitable<Result<std::vector<std::string>>>
absent_packages(StepContext& context, std::vector<std::string> packages) {
    auto there = co_await packages_there(context, std::move(packages));
    if (!there)
        co_return there.error();
    co_return std::move(there->absent);
}

boost::asio::awaitable<Result<ReleaseNames>>
in_names_of_release(StepContext& context, std::vector<std::string> packages) {
    ReleaseNames names{packages, {}, {}};
    const auto questions = names_to_ask(packages);
    if (questions.empty())
        co_return names;
    Command command;
    command.argv = {"/usr/bin/apt-cache", "--quiet", "policy", "--"};
    command.argv.insert(command.argv.end(), questions.begin(), questions.end());
    command.deadline = 1min;
    command.output_limit = 4U << 20;
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto told = require_success(std::move(*outcome));
    if (!told)
        co_return agent::context(told.error(), "asking apt which packages this release has");
    co_return release_names(packages, installable_names(told->output));
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

std::vector<std::string> half_unpacked_packages(std::string_view dpkg_answer) {
    std::vector<std::string> packages;
    for (const auto& line : split(dpkg_answer, '\n')) {
        const auto fields = split(line, '\t');
        if (fields.size() == 3 && fields[1].size() >= 3 && fields[1][2] == 'R') // reinst-required
            packages.push_back(fields[2]);
    }
    return packages;
}

std::vector<std::string> held_packages(std::string_view dpkg_answer) {
    std::vector<std::string> packages;
    for (const auto& line : split(dpkg_answer, '\n')) {
        const auto fields = split(line, '\t');
        if (fields.size() == 3 && fields[1].starts_with('h'))
            packages.push_back(fields[0]);
    }
    return packages;
}

std::string lists_problem(const CommandOutcome& outcome) {
    const auto line = line_with(outcome, "Failed to fetch ");
    if (!line)
        return {};
    return line->starts_with("W: ") ? line->substr(3) : *line;
}

Error apt_error(const CommandOutcome& outcome, const std::vector<std::string>& on_hold) {
    const std::string words = words_of(outcome);
    const auto failed = require_success(outcome);
    Error error = failed ? permanent(describe(outcome)) : failed.error();
    if (const auto unknown = line_with(outcome, "Unable to locate package ")) {
        error.message =
            "apt knows no package " + printable(after(*unknown, "Unable to locate package "), 80);
        error.kind = ErrorKind::permanent;
        error.next = "check the spelling in [apt] packages, or whether this Debian release has it";
        return error;
    }
    // What follows an "E: " line are its details, of a bad checksum more than anybody reads.
    std::vector<std::string> errors;
    for (const auto& line : split(outcome.error_tail, '\n'))
        if (line.starts_with("E: ") && errors.size() < 3)
            errors.push_back(line);
    if (!errors.empty())
        error.message = describe(outcome) + ": " + printable(join(errors, " | "), 700);
    if (std::holds_alternative<Signaled>(outcome.status))
        error.kind = ErrorKind::transient;
    if (!outcome.exit_code())
        if (const std::string phrase = last_phrase(outcome); !phrase.empty())
            error.message += ", while it was " + phrase;
    tell_of_failed_package(error, outcome);
    // Of several the last one holds.
    for (const auto& complaint : complaints)
        if (words.find(complaint.sign) != std::string::npos) {
            error.kind = complaint.kind;
            error.next = complaint.next;
        }
    tell_of_unmet_dependencies(error, outcome, on_hold);
    if (error.kind == ErrorKind::transient && error.next.empty())
        error.next = "check the network, DNS and [network] proxy; `agent retry` tries again";
    return error;
}

} // namespace agent
