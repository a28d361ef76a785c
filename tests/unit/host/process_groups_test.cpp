#include "agent/host/process_groups.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <vector>

#include <grp.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace agent;
using Groups = std::vector<gid_t>;

namespace {

// The exit status of `life` in a process of its own: what it gives up is gone for it alone.
template <class Life> int in_a_child(Life life) {
    const pid_t child = ::fork();
    if (child == 0)
        ::_exit(life());
    int status = -1;
    ::waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool has_capabilities() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> held{};
    ::syscall(SYS_capget, &header, held.data());
    return std::any_of(held.begin(), held.end(), [](const auto& part) {
        return part.permitted || part.effective || part.inheritable;
    });
}

} // namespace

TEST_CASE("process groups: what is left is left for good, the rest is kept", "[unit][host]") {
    if (::geteuid() != 0)
        SKIP("only root has groups to give up");
    const int outcome = in_a_child([] {
        const Groups before{4, 2000, 27};
        if (::setgroups(before.size(), before.data()) != 0)
            return 1;
        ProcessGroups groups;
        if (!groups.leave({4, 27}) || groups.supplementary().value() != Groups{2000})
            return 2;
        if (has_capabilities())
            return 3;
        return ::setgroups(before.size(), before.data()) == 0 ? 4 : 0;
    });
    CHECK(outcome == 0);
}

TEST_CASE("process groups: who may not leave a group is told so", "[unit][host]") {
    if (::geteuid() != 0)
        SKIP("only root can make a process that may not");
    const int outcome = in_a_child([] {
        const Groups before{4};
        ProcessGroups groups;
        if (::setgroups(before.size(), before.data()) != 0 || !groups.leave({}))
            return 1;
        const auto refused = groups.leave({4});
        return refused.has_error() && refused.error().kind == ErrorKind::misconfigured ? 0 : 2;
    });
    CHECK(outcome == 0);
}
