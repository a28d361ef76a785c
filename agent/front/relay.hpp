// Owns the byte relay between two streams, and the memory that all relays share.
#pragma once

#include "agent/ports/stream.hpp"

#include <boost/asio/awaitable.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace agent {

// An idle relay has no buffer: all read into one, and keep of what they read only what the other
// side does not take at once.
class RelayMemory {
public:
    static constexpr std::size_t piece = 65'536;
    static constexpr std::size_t small_piece = 4'096;
    // Once so much is kept, everybody reads small pieces only.
    static constexpr std::size_t plenty = 1'048'576;

    // Valid until the caller suspends.
    [[nodiscard]] std::span<char> scratch() {
        return std::span{scratch_}.first(kept_ < plenty ? piece : small_piece);
    }
    [[nodiscard]] std::size_t kept() const { return kept_; }

    class Rest {
    public:
        Rest(RelayMemory& memory, std::string_view bytes) : memory_{memory}, bytes_{bytes} {
            memory_.kept_ += bytes_.size();
        }
        Rest(const Rest&) = delete;
        Rest& operator=(const Rest&) = delete;
        ~Rest() { memory_.kept_ -= bytes_.size(); }
        [[nodiscard]] std::string_view bytes() const { return bytes_; }

    private:
        RelayMemory& memory_;
        std::string bytes_;
    };

private:
    std::array<char, piece> scratch_{};
    std::size_t kept_ = 0;
};

enum class RelayEnd {
    over,       // both streams are closed
    unanswered, // right ended before its first byte and is closed; left still waits for an answer
};

// Carries bytes both ways until both directions have ended, or one of the streams fails or is
// closed; then both are closed. An end of stream is passed on as a half-close. Who does not read
// slows the other side down. Idle is fine for as long as both directions live; when one has ended,
// the other may be idle for `half_closed` at most.
[[nodiscard]] boost::asio::awaitable<RelayEnd> relay(ByteStream& left,
                                                     ByteStream& right,
                                                     RelayMemory& memory,
                                                     std::chrono::milliseconds half_closed);

} // namespace agent
