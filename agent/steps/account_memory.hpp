// Owns what one run remembers of the machine's users: nearly every step asks for the same one, and
// each answer costs a process. Who is there stays there; who was missing may come at any moment and
// is asked for again.
#pragma once

#include "agent/ports/account.hpp"

#include <boost/asio/awaitable.hpp>

#include <map>
#include <optional>
#include <string>

namespace agent {

class AccountMemory final : public Accounts {
public:
    explicit AccountMemory(Accounts& accounts) : accounts_{accounts} {}
    boost::asio::awaitable<Result<std::optional<Account>>> find(std::string name) override;
    // A new run looks anew.
    void forget() { known_.clear(); }

private:
    Accounts& accounts_;
    std::map<std::string, Account> known_;
};

} // namespace agent
