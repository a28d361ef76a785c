#include "agent/steps/prefix.hpp"

#include "agent/base/text.hpp"

#include <optional>
#include <system_error>

namespace agent {
namespace {

constexpr std::string_view claimed = "made by agent\n";

} // namespace

std::filesystem::path beside_prefix(const std::filesystem::path& prefix, std::string_view what) {
    const auto directory = prefix.parent_path();
    // /srv/envs/NAME is below nobody's prefix.
    const bool is_condas =
        directory.filename() == "envs" && directory.parent_path().parent_path() != "/";
    const auto outer = is_condas ? directory.parent_path() : prefix;
    std::string name = "." + outer.filename().string() + ".agent";
    if (is_condas)
        name += "-envs." + prefix.filename().string();
    if (!what.empty())
        name += "-" + std::string{what};
    return outer.parent_path() / name;
}

std::filesystem::path Prefix::marker() const {
    return root_ / beside_prefix(path_, "").string();
}

Result<void> Prefix::claim(const Account& owner) const {
    const auto prefix = root_ / path_.string();
    const auto made_by_us = read_file(marker());
    if (!made_by_us)
        return made_by_us.error();
    if (!*made_by_us) {
        std::error_code failure;
        const auto status = std::filesystem::symlink_status(prefix, failure);
        const bool something = std::filesystem::exists(status);
        if (something &&
            !(std::filesystem::is_directory(status) && std::filesystem::is_empty(prefix, failure)))
            return misconfigured(path_.string() + " exists and was not made by this agent",
                                 "move it away, or name another [python] prefix");
        if (!std::filesystem::exists(prefix.parent_path(), failure))
            if (auto parent = ensure_directory(prefix.parent_path(), {.mode = 0755}); !parent)
                return parent;
        if (auto marked = durable_write(marker(), claimed); !marked)
            return marked;
    }
    return ensure_directory(prefix, {.mode = 0755, .owner = owner.uid, .group = owner.gid});
}

Result<std::string> Prefix::made_with() const {
    const auto content = read_file(marker());
    if (!content)
        return content.error();
    if (!*content || !(*content)->starts_with(claimed))
        return std::string{};
    return std::string{trim(std::string_view{**content}.substr(claimed.size()))};
}

Result<void> Prefix::is_whole(std::string_view made_with) const {
    return durable_write(marker(), std::string{claimed} + std::string{made_with} + "\n");
}

} // namespace agent
