// Owns what the installer says while the machine is being set up: a bounded line for each change of
// a step, for whoever has started it.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <string_view>

namespace agent {

// Whether what this process says goes to the serial console as well: it was started by Google's
// runner of startup scripts or by cloud-init, whose units copy it there. The daemon speaks to the
// console itself, and nothing is to stand there twice.
[[nodiscard]] bool output_goes_to_console(const Root& root);

// Tells until the machine has settled; the exit status that `agent status` would give: 0 ready,
// 1 failed, 2 degraded, 3 when it has not settled within `longest`.
[[nodiscard]] boost::asio::awaitable<int>
relay_until_settled(Root root,
                    Clock& clock,
                    std::chrono::milliseconds longest,
                    std::function<void(std::string_view)> tell);

} // namespace agent
