// Owns what a step does about a wall clock that is certainly wrong, as on a machine whose time has
// not been set yet: it waits for a while, says so, and then goes on.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/ports/clock.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>

namespace agent {

// "the clock is wrong: it says 2015-01-01T00:00:07Z"; empty when it may be right.
[[nodiscard]] std::string clock_complaint(const Clock& clock);

// Returns once the clock may be right, and at the latest after a minute.
boost::asio::awaitable<void> await_right_clock(StepContext& context, Clock& clock);

} // namespace agent
