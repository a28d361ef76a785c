// Owns sudo's opinion in tests.
#pragma once

#include "agent/ports/privileges.hpp"

#include <boost/asio/awaitable.hpp>

#include <optional>
#include <set>
#include <string>

namespace agent::test {

class FakePrivileges final : public Privileges {
public:
    boost::asio::awaitable<Result<bool>> is_sudoer(Account user) override {
        ++asked;
        if (refusal)
            co_return *refusal;
        co_return sudoers.contains(user.name);
    }

    std::set<std::string> sudoers;
    std::optional<Error> refusal;
    unsigned asked = 0;
};

} // namespace agent::test
