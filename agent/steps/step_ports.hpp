// Owns the list of ports that steps are given, and the one question most of them ask: who is the
// user?
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/account.hpp"
#include "agent/ports/clock.hpp"
#include "agent/ports/front_control.hpp"
#include "agent/ports/services.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>

namespace agent {

struct StepPorts {
    Root root;
    Accounts& accounts;
    ServiceManager& services;
    Clock& clock;
    FrontControl& front_control;
};

// The account of a user that an earlier step guarantees; its absence is an Error.
[[nodiscard]] boost::asio::awaitable<Result<Account>> existing_account(Accounts& accounts,
                                                                       std::string name);

} // namespace agent
