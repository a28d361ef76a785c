// Port: text → Value and back. JSON and TOML libraries stay in host/json.cpp and host/toml.cpp.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"

#include <string>
#include <string_view>

namespace agent {

// Depth and size are bounded by the caller's input limit and a depth of 64. Numbers beyond int64
// stay exact up to uint64 (instance/id is a 64-bit number).
[[nodiscard]] Result<Value> parse_json(std::string_view text);

// One line, members in their order, ASCII control characters escaped.
[[nodiscard]] std::string write_json(const Value& value);

// None of the texts quotes a value, so that none can carry a secret.
struct SyntaxError {
    enum class Kind { malformed, duplicate, unclosed, escape, number, word, depth };
    Kind kind = Kind::malformed;
    Position position;     // of what is wrong: the key defined again, the bracket never closed
    std::size_t width = 1; // in characters
    std::string message;
    std::string label; // a few words, to stand beside a caret
    std::string hint;  // may be empty
};
// Every value and key carries its position. A byte order mark is skipped and not counted.
[[nodiscard]] boost::system::result<Value, SyntaxError> parse_toml(std::string_view text);

} // namespace agent
