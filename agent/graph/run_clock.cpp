#include "agent/graph/run_clock.hpp"

#include <algorithm>

namespace agent {

using std::chrono::milliseconds;

void RunClock::begin_work(Monotonic now) {
    if (working_++ == 0)
        since_ = now;
}

void RunClock::end_work(Monotonic now) {
    if (--working_ == 0)
        before_ += now - since_;
}

milliseconds RunClock::spent(Monotonic now) const {
    const auto all = working_ > 0 ? before_ + (now - since_) : before_;
    return std::chrono::duration_cast<milliseconds>(all);
}

std::optional<milliseconds> RunClock::left(Monotonic now) const {
    if (!limit_)
        return std::nullopt;
    return std::max(milliseconds{0}, *limit_ - spent(now));
}

bool RunClock::is_over(Monotonic now) const {
    return limit_ && spent(now) >= *limit_;
}

} // namespace agent
