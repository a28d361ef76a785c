#include "agent/report/status_changes.hpp"

#include "agent/ports/layout.hpp"

#include <array>
#include <cstring>

#include <sys/inotify.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

} // namespace

StatusChanges::StatusChanges(Root root)
    : root_{std::move(root)}, inotify_{::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)} {
    look();
}

void StatusChanges::look() {
    alignas(inotify_event) std::array<char, 4096> events{};
    while (inotify_) {
        const ssize_t size = ::read(inotify_.get(), events.data(), events.size());
        if (size <= 0)
            break;
        for (ssize_t at = 0; at < size;) {
            inotify_event event{};
            std::memcpy(&event, events.data() + at, sizeof event);
            if ((event.mask & IN_IGNORED) != 0)
                watched_ = false; // the directory is gone
            at += static_cast<ssize_t>(sizeof event + event.len);
        }
    }
    // The file is renamed into place; the lock's file is opened by a daemon that starts.
    if (inotify_ && !watched_)
        watched_ = ::inotify_add_watch(inotify_.get(),
                                       (root_ / layout::runtime_directory).c_str(),
                                       IN_MOVED_TO | IN_DELETE | IN_ONLYDIR) >= 0;
}

std::chrono::milliseconds StatusChanges::longest_wait() const {
    return watched_ ? 1000ms : 200ms;
}

} // namespace agent
