// Owns the Privileges of the real world: sudo itself is asked, because who is a sudoer lies in
// files, groups and name services (OS Login's google-sudoers) that only it can put together.
#pragma once

#include "agent/ports/command.hpp"
#include "agent/ports/privileges.hpp"

#include <filesystem>
#include <utility>

namespace agent {

class SudoPrivileges final : public Privileges {
public:
    // As root: sudo answers for another user only to root.
    explicit SudoPrivileges(CommandRunner& commands, std::filesystem::path sudo = "/usr/bin/sudo")
        : commands_{commands}, sudo_{std::move(sudo)} {}
    boost::asio::awaitable<Result<bool>> is_sudoer(Account user) override;

private:
    CommandRunner& commands_;
    std::filesystem::path sudo_;
};

} // namespace agent
