#include "agent/host/take_place.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <iostream>

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

bool become(const Account& account, const std::vector<gid_t>& groups) {
    return ::setgroups(groups.size(), groups.data()) == 0 &&
           ::setresgid(account.gid, account.gid, account.gid) == 0 &&
           ::setresuid(account.uid, account.uid, account.uid) == 0;
}

// What we ignore or hold back would be ignored and held back by the other program.
void release_signals() {
    std::signal(SIGPIPE, SIG_DFL);
    sigset_t none{};
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

} // namespace

int take_place(const Session& session) {
    if (session.as && !become(*session.as, session.groups))
        return errno;
    // As the user: root must not enter what only the user's own tree leads to.
    for (const auto& directory : session.directories)
        if (::chdir(directory.c_str()) == 0)
            break;
    ::umask(022);
    ::clearenv();
    for (const auto& [name, value] : session.environment)
        ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> argv;
    for (const auto& word : session.argv)
        argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::cout.flush();
    std::cerr.flush();
    release_signals();
    ::execvp(argv.front(), argv.data());
    return errno;
}

} // namespace agent
