#include "agent/steps/conda_packages.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/steps/conda_spec.hpp"
#include "agent/steps/install_progress.hpp"
#include "agent/steps/prefix.hpp"
#include "agent/steps/scratch.hpp"
#include "agent/steps/wrong_clock.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

// A classic resolver over the 2019 packages takes this long on a small machine.
constexpr auto longest_installation = 55min;

// The lines of conda's output that tell people how far it is.
constexpr std::string_view milestones[] = {"Collecting package metadata",
                                           "Solving environment",
                                           "Downloading and Extracting",
                                           "Preparing transaction",
                                           "Verifying transaction",
                                           "Executing transaction",
                                           "Installing pip dependencies"};

// "numpy-1.26.4 | 7.1 MB | ####7 | 47%": a bar that is drawn again and again.
bool is_bar(std::string_view line) {
    return line.find(" | ") != std::string_view::npos && trim(line).ends_with('%');
}

// Year and month, or 4 and 7, of "23.10.0"; {0, 0}: unknown.
std::pair<int, int> release_of(const std::string& version) {
    const auto parts = split(version, '.');
    const auto number = [&](std::size_t at) {
        int read = 0;
        if (at < parts.size())
            std::from_chars(parts[at].data(), parts[at].data() + parts[at].size(), read);
        return read;
    };
    return {number(0), number(1)};
}

} // namespace

CondaPackages::CondaPackages(StepPorts ports, Wish wish)
    : ports_{std::move(ports)}, wish_{std::move(wish)},
      work_{WorkMark::beside(ports_.root, wish_.environment, "conda_packages")},
      object_{BucketFile::at(
          ports_, wish_.environment_file, {wish_.step, "environment.yml"}, wish_.network)} {}

std::string CondaPackages::fingerprint() const {
    auto sorted = wish_.packages;
    std::sort(sorted.begin(), sorted.end());
    return sha256_hex(wish_.environment.string() + "\n" + join(wish_.channels, "\n") + "\n\n" +
                      join(sorted, "\n") + "\n\n" + wish_.environment_file);
}

std::filesystem::path CondaPackages::digest_file() const {
    return ports_.root / beside_prefix(wish_.environment, "environment_file").string();
}

boost::asio::awaitable<Result<std::string>>
CondaPackages::file_digest(StepContext& context, Account user, For purpose) {
    if (object_) {
        Result<std::string> text = transient("not read");
        if (purpose == For::an_installation)
            text = co_await object_->take(context, std::move(user));
        else
            text = co_await object_->look(context, std::move(user));
        if (!text)
            co_return agent::context(text.error(), "[python] environment_file");
        co_return sha256_hex(*text);
    }
    if (wish_.environment_file.empty())
        co_return std::string{};
    const std::string file = wish_.environment_file;
    const std::string name = user.name;
    Command command;
    command.argv = {"/usr/bin/sha256sum", "--", file};
    command.as = std::move(user);
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    if (!outcome->succeeded())
        co_return misconfigured(
            "reading " + file + " as " + name + ": " + require_success(*outcome).error().message,
            "put the environment.yml there, or correct [python] environment_file");
    co_return outcome->output.substr(0, outcome->output.find(' '));
}

boost::asio::awaitable<Result<StepCheck>> CondaPackages::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    const auto environment = co_await look_at_environment(context, *user, wish_.environment);
    if (!environment)
        co_return environment.error();
    const auto is_there = [&](const std::string& spec) {
        return environment->conda.contains(conda_name(spec));
    };
    auto unmet = unmet_conda_specs(wish_.packages, environment->conda);
    // A pip that conda did not bring is a pip.
    std::erase_if(unmet, [&](const std::string& spec) {
        return spec == "pip" && !is_there(spec) && environment->packages.contains("pip");
    });
    const auto missing = pins_.missing(context, fingerprint(), std::move(unmet), is_there);
    if (!missing.empty())
        co_return StepCheck::due("not installed: " + printable(join(missing, " "), 200));
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    if (*cut_short)
        co_return StepCheck::due("an installation was cut short: packages may be incomplete");
    const auto digest = co_await file_digest(context, *user, For::a_look);
    if (!digest) {
        // A bucket that does not answer yet is asked again by who installs.
        if (digest.error().kind == ErrorKind::transient && object_)
            co_return StepCheck::due(digest.error().message);
        co_return digest.error();
    }
    const auto installed = read_file(digest_file());
    if (!installed)
        co_return installed.error();
    if (!digest->empty() && trim(installed->value_or("")) != *digest)
        co_return StepCheck::due(wish_.environment_file +
                                 (*installed ? " has changed" : " is not installed yet"));
    if (object_ && !object_->is_kept())
        co_return StepCheck::due(object_->place() + " is another than was installed last");
    std::vector<std::string> found{std::to_string(environment->conda.size()) +
                                   " packages of conda's"};
    for (const std::string& one :
         {pins_.report(wish_.step), object_ ? object_->note() : std::string{}})
        if (!one.empty())
            found.push_back(one);
    co_return StepCheck::yes(join(found, "; "));
}

std::map<std::string, std::string> CondaPackages::variables(const Scratch& scratch) const {
    auto variables = fetching_environment(wish_.network);
    variables["TMPDIR"] = scratch.path();
    // Beside what requests reads: conda's own name for it, for what does not go through requests.
    if (!wish_.network.ca_certificates.empty())
        variables["CONDA_SSL_VERIFY"] = wish_.network.ca_certificates.string();
    if (wish_.terms == Terms::accepted)
        variables["CONDA_PLUGINS_AUTO_ACCEPT_TOS"] = "yes";
    return variables;
}

std::vector<std::string> CondaPackages::program(StepContext& context,
                                                const Environment& base,
                                                std::vector<std::string> arguments) const {
    const auto version_of = [&](const char* name) {
        const auto found = base.conda.find(name);
        return found == base.conda.end() ? std::string{} : found->second;
    };
    const std::string version = version_of("conda");
    const auto release = release_of(version);
    constexpr std::pair libmamba_by_default{23, 10};
    constexpr std::pair libmamba_by_option{22, 11};
    const bool is_env = arguments.front() == "env";
    std::string program = "conda";
    if (release < libmamba_by_default) {
        if (release >= libmamba_by_option && !version_of("conda-libmamba-solver").empty()) {
            arguments.emplace_back("--solver=libmamba");
        } else if (!version_of("mamba").empty() && !is_env) {
            program = "mamba";
        } else {
            context.log("conda " + (version.empty() ? "there" : version) +
                        " has the classic resolver alone, which may take minutes: libmamba came "
                        "with 22.11");
        }
    }
    arguments.insert(arguments.begin(), (wish_.prefix / "bin" / program).string());
    return arguments;
}

boost::asio::awaitable<Result<void>> CondaPackages::run(StepContext& context,
                                                        Account user,
                                                        std::vector<std::string> argv,
                                                        Present present,
                                                        const Scratch& scratch) const {
    Command command;
    command.argv = std::move(argv);
    command.environment = variables(scratch);
    command.as = user;
    command.deadline = longest_installation;
    command.on_line = [&context](std::string_view line) {
        if (is_milestone(line, milestones))
            context.progress(printable(line, 120));
        else if (!is_bar(line))
            context.log(line);
    };
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    if (outcome->succeeded())
        co_return Result<void>{};
    // Who ended of himself has rolled back; a reinstallation that failed has left what it found.
    if (outcome->exit_code() && present == Present::kept)
        if (auto lifted = co_await work_.lift(context, std::move(user), wish_.prefix); !lifted)
            co_return lifted;
    co_return with_network_state(
        agent::context(conda_error(*outcome), "installing conda's packages"), ports_.root);
}

boost::asio::awaitable<Result<void>> CondaPackages::apply(StepContext& context) {
    co_await await_right_clock(context, ports_.clock); // else no server's certificate is valid
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    if (auto readable = certificates_are_readable(ports_.root, wish_.network); !readable)
        co_return readable;
    const auto digest = co_await file_digest(context, *user, For::an_installation);
    if (!digest)
        co_return digest.error();
    const auto base = co_await look_at_environment(context, *user, wish_.prefix);
    if (!base)
        co_return base.error();
    const auto environment = co_await look_at_environment(context, *user, wish_.environment);
    if (!environment)
        co_return environment.error();
    const auto scratch = Scratch::make(ports_.root, *user, wish_.step);
    if (!scratch)
        co_return scratch.error();
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    const Present present = *cut_short ? Present::torn : Present::kept;
    if (auto begun = work_.set(); !begun)
        co_return begun;

    const auto specs = pins_.to_install(wish_.packages);
    if (!wish_.environment_file.empty()) {
        const std::vector<std::string> update{"env",
                                              "update",
                                              "--prefix",
                                              wish_.environment.string(),
                                              "--file",
                                              object_ ? object_->copy().string()
                                                      : wish_.environment_file};
        context.progress("resolving " + wish_.environment_file);
        auto command = program(context, *base, update);
        if (auto done = co_await run(context, *user, std::move(command), present, *scratch); !done)
            co_return done;
    }
    if (!specs.empty() || !environment->exists) {
        const bool is_new = !environment->exists && wish_.environment_file.empty();
        std::vector<std::string> install{
            is_new ? "create" : "install", "--yes", "--prefix", wish_.environment.string()};
        // What was there before may be the user's; what the installer brought may move.
        if (!is_new && context.last_fingerprint() && !context.asked_for())
            install.emplace_back("--freeze-installed");
        if (present == Present::torn && !is_new)
            install.emplace_back("--force-reinstall");
        if (!wish_.channels.empty())
            install.emplace_back("--override-channels");
        for (const auto& channel : wish_.channels) {
            install.emplace_back("--channel");
            install.push_back(channel);
        }
        install.insert(install.end(), specs.begin(), specs.end());
        context.progress("resolving conda's packages");
        auto command = program(context, *base, install);
        if (auto done = co_await run(context, *user, std::move(command), present, *scratch); !done)
            co_return done;
    }
    if (!digest->empty())
        if (auto written = durable_write(digest_file(), *digest + "\n"); !written)
            co_return written;
    co_return co_await work_.lift(context, *user, wish_.environment);
}

Error conda_error(const CommandOutcome& outcome) {
    const std::string words = outcome.output + "\n" + outcome.error_tail;
    const auto says = [&](std::string_view sign) { return words.find(sign) != std::string::npos; };
    const auto says_one_of = [&](std::initializer_list<std::string_view> signs) {
        return std::any_of(signs.begin(), signs.end(), says);
    };
    const auto ended = require_success(outcome);
    Error error = ended ? permanent(describe(outcome)) : ended.error();
    if (std::holds_alternative<Signaled>(outcome.status))
        error.kind = ErrorKind::transient;
    // What comes before the cause is what conda was doing, which the log keeps.
    for (const std::string_view opening : {"PackagesNotFoundError: ",
                                           "ResolvePackageNotFound: ",
                                           "LibMambaUnsatisfiableError: ",
                                           "UnsatisfiableError: ",
                                           "CondaToSNonInteractiveError: ",
                                           "CondaHTTPError: ",
                                           "CondaSSLError: ",
                                           "NoSpaceLeftError: ",
                                           "error    libmamba ",
                                           "Error: "})
        if (const auto at = words.find(opening); at != std::string::npos) {
            error.message = describe(outcome) + ": " + printable(trim(words.substr(at)), 900);
            break;
        }
    if (error.kind == ErrorKind::transient)
        return error;
    if (says("CondaToSNonInteractiveError")) {
        error.kind = ErrorKind::misconfigured;
        error.next =
            "read https://www.anaconda.com/legal, then set [python] accept_terms = true; or "
            "take channels such as conda-forge, which need none";
    } else if (says_one_of({"PackagesNotFoundError",
                            "ResolvePackageNotFound",
                            "UnsatisfiableError",
                            "nothing provides"})) {
        error.next = "correct [python] conda_packages or channels in the configuration: see the "
                     "names above";
    } else if (says_one_of({"NoSpaceLeftError", "No space left on device"})) {
        error.next = "free disk space or make the boot disk larger";
    } else if (says_one_of({"CondaHTTPError",
                            "CONNECTION FAILED",
                            "ConnectionError",
                            "Connection broken",
                            "Connection refused",
                            "CondaSSLError",
                            "ChecksumMismatchError",
                            "Could not resolve host",
                            "name resolution",
                            "timed out",
                            "Timeout was reached",
                            "503 "})) {
        error.kind = ErrorKind::transient;
    }
    return error;
}

} // namespace agent
