// Port: text → Value and back. JSON and TOML libraries stay in host/json.cpp and host/toml.cpp.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"

#include <string>
#include <string_view>

namespace agent {

// Depth and size are bounded by the caller's input limit and a depth of 64. Numbers beyond int64 stay
// exact up to uint64 (instance/id is a 64-bit number).
[[nodiscard]] Result<Value> parse_json(std::string_view text);

// One line, members in their order, ASCII control characters escaped.
[[nodiscard]] std::string write_json(const Value& value);

struct SyntaxError {
    Position position;
    std::string message; // without the source line, so that it cannot carry a secret
};
// Every value and key carries its position.
[[nodiscard]] boost::system::result<Value, SyntaxError> parse_toml(std::string_view text);

} // namespace agent
