#include "agent/steps/work_mark.hpp"

#include "agent/steps/prefix.hpp"

#include <chrono>
#include <string>
#include <system_error>
#include <utility>

namespace agent {
namespace {

// A slow disk takes this long for some gigabytes.
constexpr std::chrono::minutes sync_limit{15};

} // namespace

WorkMark
WorkMark::beside(const Root& root, const std::filesystem::path& prefix, std::string_view step) {
    return WorkMark{root / beside_prefix(prefix, step).string()};
}

Result<bool> WorkMark::is_set() const {
    const auto mark = read_file(mark_);
    if (!mark)
        return mark.error();
    return mark->has_value();
}

Result<void> WorkMark::set() const {
    std::error_code failure;
    if (!std::filesystem::exists(mark_.parent_path(), failure))
        if (auto made = ensure_directory(mark_.parent_path(), {.mode = 0711}); !made)
            return made;
    return durable_write(mark_, "work is under way, or was when the machine went down\n");
}

boost::asio::awaitable<Result<void>>
WorkMark::lift(StepContext& context, Account user, std::filesystem::path place) const {
    Command command;
    command.argv = {"/usr/bin/sync", "--file-system", "--", place.string()};
    command.as = std::move(user);
    command.deadline = sync_limit;
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto synced = require_success(std::move(*outcome), ErrorKind::transient);
    if (!synced)
        co_return agent::context(synced.error(), "writing " + place.string() + " to the disk");
    co_return drop();
}

Result<void> WorkMark::drop() const {
    return remove_file(mark_);
}

} // namespace agent
