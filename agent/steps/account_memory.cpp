#include "agent/steps/account_memory.hpp"

namespace agent {

boost::asio::awaitable<Result<std::optional<Account>>> AccountMemory::find(std::string name) {
    if (const auto known = known_.find(name); known != known_.end())
        co_return std::optional{known->second};
    auto found = co_await accounts_.find(name);
    if (found && *found)
        known_.insert_or_assign(name, **found);
    co_return found;
}

} // namespace agent
