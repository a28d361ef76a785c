// Owns /run/agent/guest-writes: when this boot wrote guest attributes, for the next process of this
// boot. Google counts for the VM, neither for a process nor for a boot.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"

#include <vector>

namespace agent {

class GuestWriteRecord {
public:
    explicit GuestWriteRecord(Root root) : root_{std::move(root)} {}

    // The writes before `now` that a new process has to count, oldest first: those that an earlier
    // process of this boot recorded. Where none has and the disk was in use before, those that the
    // boot before this one may have made: nothing of it is on the disk, for a boot with nothing to
    // do writes nothing there.
    [[nodiscard]] std::vector<Monotonic> earlier(Monotonic now) const;
    // Replaces what was recorded.
    [[nodiscard]] Result<void> remember(const std::vector<Monotonic>& writes) const;

private:
    Root root_;
};

} // namespace agent
