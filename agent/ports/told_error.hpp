// Owns how a worker's Error goes over a line of JSON to the step that asked for the work.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"

#include <cstddef>

namespace agent {

void add_error(Value::Object& answer, const Error& error);

// Bounded, and fit to be shown. A kind that is not known here is permanent.
[[nodiscard]] Error told_error(const Value& answer, std::size_t longest_next);

} // namespace agent
