// Port: a program that takes this process's place, with the identity and surroundings of a user who
// has just logged in.
#pragma once

#include "agent/ports/account.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace agent {

struct Session {
    std::vector<std::string> argv; // argv[0] is looked up in the PATH of `environment`
    std::map<std::string, std::string> environment; // all of it
    std::vector<std::filesystem::path> directories; // it begins in the first that it may enter
    std::optional<Account> as;                      // absent: as we are
    std::vector<gid_t> groups;                      // all of theirs, when there is `as`
};

} // namespace agent
