// Owns uv: which version we trust, how it comes onto the machine, how pip's configuration is said
// to it.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/step_ports.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace agent {

// The path of a verified uv. It is fetched from the package index by the environment's own pip, as
// the user; then copied, hashed and unpacked by root, so that what runs is what was hashed. An
// Error means that pip is used instead; its message is the reason.
[[nodiscard]] boost::asio::awaitable<Result<std::filesystem::path>>
provide_uv(StepContext& context,
           const StepPorts& ports,
           std::string step,
           Account user,
           std::filesystem::path prefix,
           std::string index_url,
           Network network);

// uv's environment for what `pip config list` says (index-url, extra-index-url, find-links), or why
// uv cannot stand in for pip here: credentials in a URL would have to be passed where others can
// see them.
[[nodiscard]] Result<std::map<std::string, std::string>>
uv_environment(std::string_view pip_config);

} // namespace agent
