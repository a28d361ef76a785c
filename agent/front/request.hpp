// Owns the little of HTTP/1.1 that the front reads itself: the head of one request.
#pragma once

#include "agent/base/error.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace agent {

struct RequestHead {
    std::string method;
    std::string target; // in origin form ("/lab?x=1"), else "/"; no blanks, no control characters
    std::string host;   // as a URL may carry it; empty: absent
};

// Where the head ends (after its blank line); nullopt: not yet.
[[nodiscard]] std::optional<std::size_t> end_of_head(std::string_view bytes);

// A permanent Error for what is no HTTP/1 request, or names hosts that are none, or several.
// Source: RFC 9112 §3, §5.
[[nodiscard]] Result<RequestHead> parse_request_head(std::string_view head);

} // namespace agent
