#include "agent/steps/service_user.hpp"

#include "agent/base/text.hpp"

#include <charconv>

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

Command useradd(const std::vector<std::string>& group, const std::string& name) {
    Command command;
    command.argv = {"/usr/sbin/useradd", "--create-home"};
    command.argv.insert(command.argv.end(), group.begin(), group.end());
    for (const char* word : {"--shell", "/bin/bash", "--comment", "Jupyter", "--"})
        command.argv.emplace_back(word);
    command.argv.push_back(name);
    return command;
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
    if (const std::string owner = answer.substr(0, answer.find(' '));
        owner != std::to_string(user.uid))
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
    if (!*account) {
        if (auto made = co_await make_user(context); !made)
            co_return made;
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
    if (*home == Home::missing)
        co_return co_await make_home(context, (*account)->home.string());
    co_return Result<void>{};
}

boost::asio::awaitable<Result<void>> ServiceUser::make_user(StepContext& context) {
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

} // namespace agent
