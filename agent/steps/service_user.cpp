#include "agent/steps/service_user.hpp"

#include "agent/base/file_system.hpp"
#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"

#include <charconv>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr gid_t first_of_people = 1000; // login.defs(5), GID_MIN
const char* const another_user = "name another user in [machine] user";

// useradd(8)
enum UseraddExit : int {
    cannot_update_passwd = 1, // its lock is held, by Google's guest agent say
    bad_argument = 3,
    name_in_use = 9, // the user's or the group's
};

constexpr int not_in_files = 6; // userdel(8)

Command useradd(const std::vector<std::string>& group, const std::string& name) {
    Command command;
    command.argv = {"/usr/sbin/useradd", "--create-home"};
    command.argv.insert(command.argv.end(), group.begin(), group.end());
    for (const char* word : {"--shell", "/bin/bash", "--comment", "Jupyter", "--"})
        command.argv.emplace_back(word);
    command.argv.push_back(name);
    return command;
}

// Beside the lock on .pwd.lock, which ends with its process, useradd and its like have files with
// their process's number. After a power cut that number is another process's, and the next useradd
// waits for it in vain. Whoever has .pwd.lock knows that none of them is at work.
void remove_dead_locks(const Root& root) {
    const UniqueFd fd{::open(
        (root / "/etc/.pwd.lock").c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)};
    struct flock whole_file{};
    whole_file.l_type = F_WRLCK;
    whole_file.l_whence = SEEK_SET;
    if (!fd || ::fcntl(fd.get(), F_SETLK, &whole_file) != 0)
        return;
    for (const char* name : {"passwd", "shadow", "group", "gshadow", "subuid", "subgid"})
        ::unlink((root / (std::string{"/etc/"} + name + ".lock")).c_str());
}

} // namespace

boost::asio::awaitable<Result<StepCheck>> ServiceUser::check(StepContext& context) {
    auto account = co_await ports_.accounts.find(name_);
    if (!account)
        co_return account.error();
    if (!*account)
        co_return StepCheck::due("there is no user " + name_);
    if ((*account)->uid == 0)
        co_return misconfigured("the user " + name_ + " is root: Jupyter never runs as root",
                                another_user);
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    if (*cut_short)
        co_return StepCheck::due("the making of the user " + name_ + " was cut short");
    auto home = co_await look_at_home(context, **account);
    if (!home)
        co_return home.error();
    if (*home == Home::missing)
        co_return StepCheck::due("the home of " + name_ + ", " + (*account)->home.string() +
                                 ", is not there");
    co_return StepCheck::yes();
}

boost::asio::awaitable<Result<ServiceUser::Home>> ServiceUser::look_at_home(StepContext& context,
                                                                            Account user) {
    const std::string home = user.home.string();
    if (!user.home.is_absolute())
        co_return misconfigured("the user " + name_ + " has no home", another_user);
    Command command;
    command.argv = {"/usr/bin/stat", "--dereference", "--format=%u %F", "--", home};
    command.deadline = 10s;
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    if (outcome->exit_code() == 1 &&
        outcome->error_tail.find("No such file or directory") != std::string::npos)
        co_return Home::missing;
    auto seen = require_success(std::move(*outcome));
    if (!seen)
        co_return agent::context(seen.error(), "looking at the home of " + name_);
    const std::string answer{trim(seen->output)};
    if (!answer.ends_with(" directory"))
        co_return misconfigured(home + ", the home of " + name_ + ", is no directory",
                                "move it away, or " + std::string{another_user});
    const std::string owner = answer.substr(0, answer.find(' '));
    const auto cut_short = work_.is_set();
    if (owner == "0" && cut_short && *cut_short)
        co_return Home::of_root; // as useradd makes it first
    if (owner != std::to_string(user.uid))
        co_return misconfigured(
            home + ", the home of " + name_ + ", belongs to the user with the number " + owner +
                ", not to " + name_ + " (" + std::to_string(user.uid) + ")",
            "give it to him with `sudo chown -R " + name_ + ": " + home + "`, or " + another_user);
    co_return Home::there;
}

boost::asio::awaitable<Result<void>> ServiceUser::apply(StepContext& context) {
    auto account = co_await ports_.accounts.find(name_);
    if (!account)
        co_return account.error();
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    if (auto begun = work_.set(); !begun)
        co_return begun;
    if (*cut_short && *account)
        if (auto removed = co_await remove_half_made(context, *account); !removed)
            co_return removed;
    if (!*account) {
        if (auto made = co_await make_user(context); !made) {
            account = co_await ports_.accounts.find(name_);
            if (account && !*account)
                if (auto dropped = work_.drop(); !dropped)
                    co_return dropped;
            co_return made;
        }
        account = co_await ports_.accounts.find(name_);
        if (!account)
            co_return account.error();
        if (!*account)
            co_return transient("useradd made the user " + name_ + ", and getent does not know him",
                                "see `getent passwd " + name_ + "` and /etc/nsswitch.conf");
    }
    auto home = co_await look_at_home(context, **account);
    if (!home)
        co_return home.error();
    if (*home == Home::missing) {
        if (auto made = co_await make_home(context, (*account)->home.string()); !made)
            co_return made;
    } else if (*cut_short) {
        if (auto completed = co_await complete_home(context, **account, *home); !completed)
            co_return completed;
    }
    co_return co_await work_.lift(context, **account, (*account)->home);
}

boost::asio::awaitable<Result<void>>
ServiceUser::remove_half_made(StepContext& context, std::optional<Account>& account) {
    const auto ask = [](std::string database, std::string key) {
        Command command;
        command.argv = {"/usr/bin/getent", std::move(database), "--", std::move(key)};
        command.on_line = [](std::string_view) {}; // may be a hash
        return command;
    };
    // In the order in which useradd writes them, after passwd.
    auto shadow = co_await context.run(ask("shadow", name_));
    if (!shadow)
        co_return shadow.error();
    auto group = co_await context.run(ask("group", std::to_string(account->gid)));
    if (!group)
        co_return group.error();
    auto gshadow = co_await context.run(ask("gshadow", split(trim(group->output), ':').front()));
    if (!gshadow)
        co_return gshadow.error();
    if (shadow->succeeded() && group->succeeded() && gshadow->succeeded())
        co_return Result<void>{};
    remove_dead_locks(ports_.root);
    Command command;
    command.argv = {"/usr/sbin/userdel", "--", name_};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    if (outcome->exit_code() == not_in_files)
        co_return Result<void>{}; // OS Login's, say
    auto removed = require_success(std::move(*outcome), ErrorKind::transient);
    if (!removed)
        co_return agent::context(removed.error(), "taking away the half-made user " + name_);
    account.reset();
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> ServiceUser::make_user(StepContext& context) {
    remove_dead_locks(ports_.root);
    const std::vector<std::string> a_new_one{"--user-group"};
    auto outcome = co_await context.run(useradd(a_new_one, name_));
    if (!outcome)
        co_return outcome.error();
    if (outcome->exit_code() == name_in_use) {
        // Google's guest agent makes users too, and may have been first.
        auto account = co_await ports_.accounts.find(name_);
        if (!account)
            co_return account.error();
        if (*account)
            co_return Result<void>{};
        if (auto may = co_await may_join_group(context); !may)
            co_return may;
        const std::vector<std::string> that_one{"--no-user-group", "--gid", name_};
        outcome = co_await context.run(useradd(that_one, name_));
        if (!outcome)
            co_return outcome.error();
    }
    const int code = outcome->exit_code().value_or(0);
    auto made =
        require_success(std::move(*outcome),
                        code == bad_argument ? ErrorKind::misconfigured : ErrorKind::transient);
    if (made)
        co_return Result<void>{};
    Error error = agent::context(made.error(), "making the user " + name_);
    // useradd says of these that the lock is held, or nothing of use.
    for (const char* written : {"/etc", "/home"})
        if (const auto obstacle = obstacle_to_writing(ports_.root / written)) {
            error.kind = ErrorKind::permanent;
            error.message += ": " + obstacle->message;
            error.next = obstacle->next;
            co_return error;
        }
    error.next = code == bad_argument           ? another_user
                 : code == cannot_update_passwd ? "see what holds /etc/.pwd.lock with `sudo fuser "
                                                  "-v /etc/.pwd.lock`; `agent retry` tries again"
                                                : "see what `sudo useradd " + name_ + "` says";
    co_return error;
}

boost::asio::awaitable<Result<void>> ServiceUser::may_join_group(StepContext& context) {
    Command command;
    command.argv = {"/usr/bin/getent", "group", "--", name_};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto asked = require_success(std::move(*outcome), ErrorKind::transient);
    if (!asked)
        co_return agent::context(asked.error(), "looking up the group " + name_);
    const auto fields = split(trim(asked->output), ':'); // group(5): name:password:gid:members
    gid_t gid = 0;
    if (fields.size() == 4)
        std::from_chars(fields[2].data(), fields[2].data() + fields[2].size(), gid);
    if (gid < first_of_people)
        co_return misconfigured("there is a group " + name_ +
                                    " of the system's, which gives its members more than a "
                                    "notebook should have",
                                another_user);
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> ServiceUser::make_home(StepContext& context,
                                                            std::string home) {
    context.progress("making " + home);
    Command command;
    command.argv = {"/usr/sbin/mkhomedir_helper", name_};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto made = require_success(std::move(*outcome), ErrorKind::transient);
    if (!made) {
        Error error = agent::context(made.error(), "making " + home + ", the home of " + name_);
        error.next = "make it by logging in once as " + name_ + ", then `agent retry`";
        co_return error;
    }
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>>
ServiceUser::complete_home(StepContext& context, Account user, Home found) {
    const std::string home = user.home.string();
    context.progress("completing " + home);
    const auto as_the_user = [&](std::vector<std::string> argv) {
        Command command;
        command.argv = std::move(argv);
        command.as = user;
        return command;
    };
    std::vector<Command> commands;
    if (found == Home::of_root) {
        Command give;
        const std::string owner = std::to_string(user.uid) + ":" + std::to_string(user.gid);
        give.argv = {"/usr/bin/chown", "--no-dereference", "--", owner, home};
        commands.push_back(std::move(give));
    }
    commands.push_back(as_the_user({"/usr/bin/chmod", "u+rwx", "--", home}));
    // useradd gives away what it copies a moment after it made it: a power cut leaves root's empty
    // directory, or a file of root's that only the home's owner may take away.
    std::vector<std::string> take_away{"/usr/bin/find", home};
    for (auto& word : split("-xdev -mindepth 1 -user 0 -type d -prune -exec "
                            "/usr/bin/rmdir --ignore-fail-on-non-empty -- {} +",
                            ' '))
        take_away.push_back(std::move(word));
    commands.push_back(as_the_user(std::move(take_away)));
    commands.push_back(as_the_user({"/usr/bin/cp",
                                    "--recursive",
                                    "--force",
                                    "--no-target-directory",
                                    "--",
                                    "/etc/skel",
                                    home}));
    for (auto& command : commands) {
        auto outcome = co_await context.run(std::move(command));
        if (!outcome)
            co_return outcome.error();
        auto done = require_success(std::move(*outcome), ErrorKind::transient);
        if (!done)
            co_return agent::context(done.error(), "completing " + home);
    }
    co_return Result<void>{};
}

} // namespace agent
