// Owns what the installer says while the machine is being set up: one bounded line a step, for the
// startup script's log and the serial console.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"
#include "agent/report/status.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

// The lines for what changed between the statuses it is shown; pure.
class StepRelay {
public:
    [[nodiscard]] std::vector<std::string> lines(const Status& status);

private:
    std::map<std::string, std::string> told_;
};

// Tells until the machine has settled; the exit status that `agent status` would give: 0 ready,
// 1 failed, 2 degraded, 3 when it has not settled within `longest`.
[[nodiscard]] boost::asio::awaitable<int>
relay_until_settled(Root root,
                    Clock& clock,
                    std::chrono::milliseconds longest,
                    std::function<void(std::string_view)> tell);

} // namespace agent
