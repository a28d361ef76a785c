#include "agent/steps/conda_prefix.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/download.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/install_progress.hpp"
#include "agent/steps/scratch.hpp"
#include "agent/steps/wrong_clock.hpp"

#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

// Anaconda's 3 GB on a slow disk.
constexpr auto longest_installation = 40min;
constexpr auto longest_clearing = 10min;

constexpr std::string_view fingerprint_opening = "conda ";

// The lines of an installer's output that tell people how far it is.
constexpr std::string_view milestones[] = {"Unpacking ",
                                           "Installing ",
                                           "installing: ",
                                           "Extracting",
                                           "Preparing transaction",
                                           "Verifying transaction",
                                           "Executing transaction",
                                           "installation finished"};

} // namespace

std::string CondaPrefix::fingerprint() const {
    return std::string{fingerprint_opening} + wish_.sha256 + " " + wish_.prefix.string() + " " +
           wish_.user;
}

std::string CondaPrefix::installer_file() const {
    constexpr std::size_t enough = 16;
    return std::string{layout::tools} + "/installer-" + wish_.sha256.substr(0, enough) + ".sh";
}

boost::asio::awaitable<Result<StepCheck>> CondaPrefix::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    auto environment = co_await look_at_environment(context, *user, wish_.prefix);
    if (!environment)
        co_return environment.error();
    const std::string prefix = wish_.prefix.string();
    if (!environment->exists)
        co_return StepCheck::due("no Python at " + prefix);
    if (!environment->has_conda)
        co_return StepCheck::due("the Python at " + prefix + " has no conda");
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    if (*cut_short)
        co_return StepCheck::due("the making of " + prefix + " was cut short");
    const auto made_with = claim_.made_with();
    if (!made_with)
        co_return made_with.error();
    std::string found = "Python " + environment->python;
    if (const auto conda = environment->conda.find("conda"); conda != environment->conda.end())
        found += ", conda " + conda->second;
    if (!made_with->empty() && *made_with != wish_.sha256)
        found += "; made by another installer than [python] names, and left as it is: another "
                 "prefix is where the new one goes";
    co_return StepCheck::yes(std::move(found));
}

boost::asio::awaitable<Result<CondaPrefix::Present>> CondaPrefix::present(StepContext& context,
                                                                          Account user) const {
    const auto environment = co_await look_at_environment(context, std::move(user), wish_.prefix);
    if (!environment)
        co_return environment.error();
    if (environment->is_venv)
        co_return misconfigured("a venv lies at " + wish_.prefix.string() +
                                    ", and conda does not go into one",
                                "move it away, or name another [python] prefix");
    const auto made_with = claim_.made_with();
    if (!made_with)
        co_return made_with.error();
    // The marker is written last: a run that ended before it is known by the ledger alone.
    const auto last = context.last_fingerprint();
    if (!made_with->empty() || (last && last->starts_with(fingerprint_opening)))
        co_return Present::whole;
    std::error_code failure;
    const auto prefix = ports_.root / wish_.prefix.string();
    co_return std::filesystem::is_empty(prefix, failure) && !failure ? Present::nothing
                                                                     : Present::half;
}

boost::asio::awaitable<Result<void>> CondaPrefix::fetch_installer(StepContext& context,
                                                                  Account user) {
    if (auto readable = certificates_are_readable(ports_.root, wish_.network); !readable)
        co_return readable;
    co_await await_right_clock(context, ports_.clock); // else no server's certificate is valid
    agent::Wish download{.what = wish_.installer,
                         .url = wish_.url,
                         .sha256 = wish_.sha256,
                         .size = wish_.bytes,
                         .destination = installer_file(),
                         .mode = 0644,
                         .as = std::move(user),
                         .network = wish_.network};
    auto fetched = co_await fetch(context, ports_, std::move(download));
    if (!fetched)
        co_return with_network_state(fetched.error(), ports_.root);
    co_return fetched;
}

// As the user, so that no link in his tree leads root anywhere.
boost::asio::awaitable<Result<void>> CondaPrefix::clear(StepContext& context, Account user) const {
    context.progress("removing what an earlier installation left in " + wish_.prefix.string());
    Command command;
    command.argv = {"/usr/bin/find", wish_.prefix.string(), "-xdev", "-mindepth", "1", "-delete"};
    command.as = std::move(user);
    command.deadline = longest_clearing;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto cleared = require_success(std::move(*outcome));
    if (!cleared)
        co_return agent::context(cleared.error(),
                                 "removing what an earlier installation left in " +
                                     wish_.prefix.string());
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>>
CondaPrefix::install(StepContext& context, Account user, Present present) const {
    const auto scratch = Scratch::make(ports_.root, user, "python");
    if (!scratch)
        co_return scratch.error();
    context.progress("installing " + wish_.installer + " into " + wish_.prefix.string());
    Command command;
    command.argv = {"/bin/bash",
                    (ports_.root / installer_file()).string(),
                    "-b",
                    "-p",
                    wish_.prefix.string(),
                    present == Present::whole ? "-u" : "-f"};
    command.environment["TMPDIR"] = scratch->path();
    command.as = std::move(user);
    command.directory = wish_.prefix;
    command.deadline = longest_installation;
    command.on_line = [&context](std::string_view line) {
        if (is_milestone(line, milestones))
            context.progress(printable(line, 120));
        else
            context.log(line);
    };
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    if (!outcome->succeeded())
        co_return agent::context(constructor_error(*outcome), "installing " + wish_.installer);
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> CondaPrefix::apply(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    if (auto claimed = claim_.claim(*user); !claimed)
        co_return claimed;
    const auto found = co_await present(context, *user);
    if (!found)
        co_return found.error();
    if (auto fetched = co_await fetch_installer(context, *user); !fetched)
        co_return fetched;
    if (auto begun = work_.set(); !begun)
        co_return begun;
    if (*found == Present::half)
        if (auto cleared = co_await clear(context, *user); !cleared)
            co_return cleared;
    if (auto installed = co_await install(context, *user, *found); !installed)
        co_return installed;
    // Before the work counts as done, so that no half a gigabyte is left behind.
    if (auto removed = remove_file(ports_.root / installer_file()); !removed)
        co_return removed;
    if (auto lifted = co_await work_.lift(context, *user, wish_.prefix); !lifted)
        co_return lifted;
    co_return claim_.is_whole(wish_.sha256);
}

Error constructor_error(const CommandOutcome& outcome) {
    const std::string& words =
        trim(outcome.error_tail).empty() ? outcome.output : outcome.error_tail;
    const auto passing = require_success(outcome);
    Error error = passing ? permanent(describe(outcome)) : passing.error();
    if (std::holds_alternative<Signaled>(outcome.status))
        error.kind = ErrorKind::transient;
    // What follows its own last ERROR is advice for people who sit in front of it.
    constexpr std::string_view opening = "ERROR: ";
    if (const auto at = words.rfind(opening); at != std::string::npos) {
        const std::string line = words.substr(at + opening.size());
        error.message = describe(outcome) + ": " + printable(line.substr(0, line.find('\n')), 400);
    }
    const auto says = [&](std::string_view sign) { return words.find(sign) != std::string::npos; };
    if (says("Not enough") || says("No space left on device") || says("Disk quota exceeded")) {
        error.kind = ErrorKind::permanent;
        error.next = "free disk space or make the boot disk larger, then `agent retry`";
    }
    return error;
}

} // namespace agent
