#include "agent/steps/step_ports.hpp"

namespace agent {

boost::asio::awaitable<Result<Account>> existing_account(Accounts& accounts, std::string name) {
    auto found = co_await accounts.find(name);
    if (!found)
        co_return found.error();
    if (!*found)
        co_return transient("the user " + name + " is gone");
    co_return **found;
}

} // namespace agent
