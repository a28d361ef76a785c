// Owns waiting for the status file to change, without asking the daemon.
#pragma once

#include "agent/base/files.hpp"
#include "agent/base/unique_fd.hpp"

#include <chrono>

namespace agent {

class StatusChanges {
public:
    explicit StatusChanges(Root root);
    // Readable when there is something to look at; -1: the kernel gives no such word, and whoever
    // waits looks by himself every longest_wait().
    [[nodiscard]] int fd() const { return watched_ ? inotify_.get() : -1; }
    // After each wait, before the status is read: forgets what was said until now, and watches a
    // directory that has appeared meanwhile.
    void look();
    // That a daemon has died is said by nobody: it is seen by looking.
    [[nodiscard]] std::chrono::milliseconds longest_wait() const;

private:
    Root root_;
    UniqueFd inotify_;
    bool watched_ = false;
};

} // namespace agent
