#include "agent/host/getent_accounts.hpp"

#include "agent/base/text.hpp"

#include <charconv>

namespace agent {
namespace {

constexpr int key_not_found = 2; // getent(1)

template <class Number> std::optional<Number> number(const std::string& text) {
    Number value{};
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return value;
}

} // namespace

boost::asio::awaitable<Result<std::optional<Account>>> GetentAccounts::find(std::string name) {
    Command command;
    command.argv = {"/usr/bin/getent", "passwd", "--", name};
    auto outcome = co_await commands_.run(std::move(command));
    if (!outcome)
        co_return context(outcome.error(), "looking up the user " + name);
    if (outcome->exit_code() == key_not_found)
        co_return std::optional<Account>{};
    auto found = require_success(std::move(*outcome), ErrorKind::transient);
    if (!found)
        co_return context(found.error(), "looking up the user " + name);
    // passwd(5): name:password:uid:gid:gecos:home:shell
    const auto fields = split(trim(found->output), ':');
    const auto uid = fields.size() == 7 ? number<uid_t>(fields[2]) : std::nullopt;
    const auto gid = fields.size() == 7 ? number<gid_t>(fields[3]) : std::nullopt;
    if (!uid || !gid)
        co_return permanent("looking up the user " + name + ": getent answered " +
                            printable(found->output, 120));
    Account account;
    account.name = fields[0];
    account.uid = *uid;
    account.gid = *gid;
    account.home = fields[5];
    account.shell = fields[6];
    co_return std::optional{std::move(account)};
}

} // namespace agent
