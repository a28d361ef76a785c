// Owns the Accounts of the real world: `getent`, because OS Login users live in NSS modules that a
// static binary cannot load.
#pragma once

#include "agent/ports/account.hpp"
#include "agent/ports/command.hpp"

namespace agent {

class GetentAccounts : public Accounts {
public:
    explicit GetentAccounts(CommandRunner& commands) : commands_{commands} {}
    boost::asio::awaitable<Result<std::optional<Account>>> find(std::string name) override;

private:
    CommandRunner& commands_;
};

} // namespace agent
