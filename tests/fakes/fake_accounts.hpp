// Owns the machine's users in tests.
#pragma once

#include "agent/ports/account.hpp"

#include <boost/asio/awaitable.hpp>

#include <map>
#include <optional>
#include <string>

#include <unistd.h>

namespace agent::test {

class FakeAccounts final : public Accounts {
public:
    boost::asio::awaitable<Result<std::optional<Account>>> find(std::string name) override {
        if (refusal)
            co_return *refusal;
        for (const auto& [known, account] : users)
            if (known == name || std::to_string(account.uid) == name)
                co_return std::optional{account};
        co_return std::optional<Account>{};
    }

    // A user whose files this process may own: itself, whatever the name.
    Account& add(const std::string& name) {
        return users[name] = {name, ::geteuid(), ::getegid(), "/home/" + name, "/bin/bash"};
    }

    std::map<std::string, Account> users;
    std::optional<Error> refusal;
};

} // namespace agent::test
