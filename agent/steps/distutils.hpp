// Owns what is done about a package that distutils installed: it left no list of its files, so that
// neither uv nor pip removes it for another version, and both give up.
#pragma once

#include "agent/graph/step.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

// The package that the installer gave up at, when this is why.
[[nodiscard]] std::optional<std::string> distutils_package_in(std::string_view installer_output);

// Moves the package out of the environment's way, as its user, into PREFIX/.replaced: the files
// that conda's record of it names, else its metadata and the module of its name. What was moved, in
// words; a package that is not installed in this manner is an Error.
[[nodiscard]] boost::asio::awaitable<Result<std::string>> set_distutils_package_aside(
    StepContext& context, Account user, std::filesystem::path prefix, std::string package);

} // namespace agent
