// Owns the installation: puts the payload into place, enables and starts it. Safe to repeat: what
// is there already is not touched.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/ports/command.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <string_view>

namespace agent {

enum class Installed { now, before };

// Tells each thing done in one line. Misconfigured when this machine is not fit for it.
[[nodiscard]] boost::asio::awaitable<Result<Installed>>
install(CommandRunner& commands, Root root, std::function<void(std::string_view)> tell);

} // namespace agent
