// Owns what steps know of a Python environment: what our worker, running as the environment's user,
// reads in its tree. Root itself opens nothing below a prefix that a user can write.
#pragma once

#include "agent/graph/step.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace agent {

struct Environment {
    bool exists = false;                         // an interpreter is there and can be executed
    std::string python;                          // "3.11.2"; empty where nothing says it
    std::map<std::string, std::string> packages; // Python's: normalised name → version
    std::map<std::string, std::string> kernels;  // offered in Jupyter: name → program
    bool is_venv = false;
    bool has_conda = false;                   // conda can be run from there
    std::map<std::string, std::string> conda; // conda's packages: name → version
};

// `agent worker environment PREFIX`, as `user`.
[[nodiscard]] boost::asio::awaitable<Result<Environment>>
look_at_environment(StepContext& context, Account user, std::filesystem::path prefix);
// The same for who is no step.
[[nodiscard]] boost::asio::awaitable<Result<Environment>>
look_at_environment(CommandRunner& commands, Account user, std::filesystem::path prefix);

// PEP 503: lower case, runs of "-", "_" and "." become one "-".
[[nodiscard]] std::string normalised_name(std::string_view name);

// The normalised name that a requirement ("scikit-learn[x]>=1.2") is about.
[[nodiscard]] std::string required_name(std::string_view requirement);

// Those of `requirements` that the environment does not visibly meet: the package is absent, or an
// exact pin (==) names another version. Ranges are met by any version: only a resolver can tell.
// One whose marker does not hold for this Python, or cannot be judged, asks for nothing.
[[nodiscard]] std::vector<std::string> unmet(const std::vector<std::string>& requirements,
                                             const Environment& environment);

} // namespace agent
