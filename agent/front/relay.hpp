// Owns the byte relay between two streams.
#pragma once

#include "agent/ports/stream.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>

namespace agent {

// Carries bytes both ways until both directions have ended, or one of the streams fails or is
// closed; then both are closed. An end of stream is passed on as a half-close. Holds at most 16 KiB
// a direction: who does not read slows the other side down. Idle is fine for as long as both
// directions live; when one has ended, the other may be idle for `half_closed` at most.
[[nodiscard]] boost::asio::awaitable<void>
relay(ByteStream& left, ByteStream& right, std::chrono::milliseconds half_closed);

} // namespace agent
