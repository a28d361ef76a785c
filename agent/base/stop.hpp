// Owns cancellation: what unwinds a coroutine when the process is asked to end.
// The request travels in a std::stop_token; whoever waits registers a callback with it, cleans up
// (ends its children, closes its socket) and then throws Stopped. It is never retried, never
// recorded as a failure, and caught only by the engine, the daemon's top coroutine and main.
#pragma once

#include <exception>
#include <stop_token>

namespace agent {

class Stopped : public std::exception {
public:
    [[nodiscard]] const char* what() const noexcept override { return "stopped"; }
};

inline void throw_if_stopped(const std::stop_token& token) {
    if (token.stop_requested())
        throw Stopped{};
}

} // namespace agent
