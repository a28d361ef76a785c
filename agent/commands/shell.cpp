#include "agent/commands/shell.hpp"

#include "agent/base/text.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/supervise/jupyter_service.hpp"

#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

namespace agent {
namespace {

using Environment = std::map<std::string, std::string>;

constexpr const char* default_shell = "/bin/bash";

std::string shell_of(const Account& user) {
    const std::string shell = user.shell.string();
    return shell.empty() || shell.ends_with("/nologin") || shell.ends_with("/false") ? default_shell
                                                                                     : shell;
}

// Of the caller's nothing but what describes his terminal and language.
bool is_kept(std::string_view name) {
    return name == "TERM" || name == "COLORTERM" || name == "NO_COLOR" || name == "LANG" ||
           name == "TZ" || name.starts_with("LC_");
}

Environment
environment_of(const Account& user, const MachineCard& card, const Environment& callers) {
    Environment inherited{{"HOME", user.home.string()},
                          {"USER", user.name},
                          {"LOGNAME", user.name},
                          {"SHELL", shell_of(user)}};
    // Of both only what is about the network is taken on, and what the caller says counts.
    inherited.insert(callers.begin(), callers.end());
    inherited.insert(card.variables.begin(), card.variables.end());
    auto variables =
        jupyter_environment(std::filesystem::path{card.prefix} / "bin/python", inherited);
    variables.erase("TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR"); // is about our own Jupyter
    for (const auto& [name, value] : callers)
        if (is_kept(name))
            variables[name] = value;
    return variables;
}

// From `id`, as OS Login users' groups are known to NSS modules alone.
boost::asio::awaitable<Result<std::vector<gid_t>>> groups_of(CommandRunner& commands,
                                                             Account user) {
    Command ask;
    ask.argv = {"/usr/bin/id", "--groups", "--", user.name};
    auto outcome = co_await commands.run(std::move(ask));
    if (!outcome)
        co_return outcome.error();
    auto answered = require_success(std::move(*outcome), ErrorKind::transient);
    if (!answered)
        co_return context(answered.error(), "looking up the groups of " + user.name);
    std::vector<gid_t> groups;
    for (const auto& word : split(trim(answered->output), ' ')) {
        gid_t group{};
        const char* const end = word.data() + word.size();
        if (std::from_chars(word.data(), end, group).ptr != end)
            co_return permanent("looking up the groups of " + user.name + ": id answered " +
                                printable(answered->output, 120));
        groups.push_back(group);
    }
    co_return groups;
}

} // namespace

ShellCaller this_caller() {
    ShellCaller caller{::getuid(), {}};
    for (char** entry = environ; entry && *entry; ++entry) {
        const std::string_view text{*entry};
        if (const auto equals = text.find('='); equals != std::string_view::npos)
            caller.environment.emplace(text.substr(0, equals), text.substr(equals + 1));
    }
    return caller;
}

boost::asio::awaitable<Result<ShellAnswer>> shell_session(const Root& root,
                                                          CommandRunner& commands,
                                                          Accounts& accounts,
                                                          ShellCaller caller,
                                                          std::vector<std::string> command) {
    const auto card = read_machine_card(root);
    if (!card || card->user.empty())
        co_return transient("the agent has not said yet whose environment Jupyter's is",
                            "see `agent status`");
    if (card->prefix.empty())
        co_return permanent("this machine has no Python of the agent's: [python] kind is \"none\"");
    const auto found = co_await accounts.find(card->user);
    if (!found)
        co_return found.error();
    if (!*found)
        co_return transient("there is no user " + printable(card->user) + " yet",
                            "`agent status --wait` waits for it");
    const Account user = **found;
    if (caller.uid != 0 && caller.uid != user.uid)
        co_return ShellAnswer{
            NotAllowed{"only root and " + user.name +
                       " may have a shell in Jupyter's environment; use `sudo agent "
                       "shell`"}};
    const std::filesystem::path prefix{card->prefix};
    std::error_code failure;
    if (!std::filesystem::exists(root / (prefix / "bin/python").string(), failure))
        co_return transient("there is no Python in " + printable(card->prefix) + " yet",
                            "`agent status --wait` waits for it");

    Session session;
    session.argv = command.empty() ? std::vector<std::string>{shell_of(user)} : std::move(command);
    session.environment = environment_of(user, *card, caller.environment);
    if (!card->directory.empty())
        session.directories.push_back(user.home / card->directory);
    session.directories.insert(session.directories.end(), {user.home, "/"});
    if (caller.uid == 0) {
        auto groups = co_await groups_of(commands, user);
        if (!groups)
            co_return groups.error();
        session.as = user;
        session.groups = std::move(*groups);
    }
    co_return ShellAnswer{std::move(session)};
}

} // namespace agent
