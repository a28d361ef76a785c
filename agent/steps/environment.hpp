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
    std::string python;                          // "3.11.2"; empty when pyvenv.cfg does not say
    std::map<std::string, std::string> packages; // normalised name → version
};

// `agent worker environment PREFIX`, as `user`.
[[nodiscard]] boost::asio::awaitable<Result<Environment>>
look_at_environment(StepContext& context, Account user, std::filesystem::path prefix);

// PEP 503: lower case, runs of "-", "_" and "." become one "-".
[[nodiscard]] std::string normalised_name(std::string_view name);

// The normalised name that a requirement ("scikit-learn[x]>=1.2") is about.
[[nodiscard]] std::string required_name(std::string_view requirement);

// Those of `requirements` that the environment does not visibly meet: the package is absent, or an
// exact pin (==) names another version. Ranges are met by any version: only a resolver can tell.
[[nodiscard]] std::vector<std::string> unmet(const std::vector<std::string>& requirements,
                                             const Environment& environment);

} // namespace agent
