// Port: who of the machine's users may act as root here.
#pragma once

#include "agent/base/error.hpp"
#include "agent/ports/account.hpp"

#include <boost/asio/awaitable.hpp>

namespace agent {

class Privileges {
public:
    virtual ~Privileges() = default;
    // Whether sudo would let this user run `agent` as root; false where there is no sudo.
    virtual boost::asio::awaitable<Result<bool>> is_sudoer(Account user) = 0;
};

} // namespace agent
