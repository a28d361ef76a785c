// Port: who the machine's users are, as `getent` sees them (OS Login users live in NSS modules that
// a static binary cannot load).
#pragma once

#include "agent/base/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <optional>
#include <string>

#include <sys/types.h>

namespace agent {

struct Account {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::filesystem::path home;
    std::filesystem::path shell;
};

class Accounts {
public:
    virtual ~Accounts() = default;
    // By name, or by the digits of the user id. nullopt: no such user.
    virtual boost::asio::awaitable<Result<std::optional<Account>>> find(std::string name) = 0;
};

} // namespace agent
