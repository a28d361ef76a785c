#include "agent/host/process_groups.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace agent {
namespace {

using Capabilities = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

Result<void> give_up_capabilities() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    Capabilities held{};
    if (::syscall(SYS_capget, &header, held.data()) != 0)
        return system_error("looking at this process's capabilities", errno);
    const bool none = std::all_of(held.begin(), held.end(), [](const auto& part) {
        return part.permitted == 0 && part.inheritable == 0;
    });
    if (none)
        return {}; // where the unit's filter may not even allow to ask
    // What is not inheritable and permitted is not ambient either.
    Capabilities nothing{};
    if (::syscall(SYS_capset, &header, nothing.data()) != 0)
        return system_error("giving up this process's capabilities", errno);
    return {};
}

} // namespace

gid_t ProcessGroups::primary() const {
    return ::getegid();
}

Result<std::vector<gid_t>> ProcessGroups::supplementary() const {
    const int count = ::getgroups(0, nullptr);
    if (count < 0)
        return system_error("counting this process's groups", errno);
    std::vector<gid_t> groups(static_cast<std::size_t>(count));
    const int read = ::getgroups(count, groups.data());
    if (read < 0)
        return system_error("looking at this process's groups", errno);
    groups.resize(static_cast<std::size_t>(read));
    return groups;
}

Result<void> ProcessGroups::leave(const std::vector<gid_t>& groups) {
    auto kept = supplementary();
    if (!kept)
        return kept.error();
    const auto before = kept->size();
    std::erase_if(*kept, [&](gid_t group) {
        return std::find(groups.begin(), groups.end(), group) != groups.end();
    });
    if (kept->size() != before && ::setgroups(kept->size(), kept->data()) != 0)
        return misconfigured("leaving groups: " + std::generic_category().message(errno));
    return give_up_capabilities();
}

} // namespace agent
