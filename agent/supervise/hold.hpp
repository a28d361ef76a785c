// Owns the question whether somebody keeps the machine up, and until when. Pure: whoever asks has
// looked at the clock. What it holds goes to and comes from /run/agent/hold.json, so it outlives
// the daemon and ends with the boot.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"
#include "agent/ports/clock.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace agent {

class Hold {
public:
    static constexpr std::chrono::hours longest{24 * 7};
    static constexpr std::chrono::hours longest_of_service_user{24};

    struct Term {
        std::chrono::milliseconds until{0}; // since the boot: this decides
        WallTime shown;                     // the same moment for people
        std::string by;
    };
    struct Now {
        std::chrono::nanoseconds since_boot{0};
        WallTime wall;
    };

    // The term in force at this moment; nullopt: nobody holds the machine.
    [[nodiscard]] std::optional<Term> at(std::chrono::nanoseconds since_boot) const;
    // Whether the term became longer; a hold is never shortened.
    bool extend(Now now, std::chrono::seconds duration, std::string by);
    // Whether there was one.
    bool release(std::chrono::nanoseconds since_boot);

    [[nodiscard]] Value to_value() const; // null: none
    [[nodiscard]] static Result<Hold> from_value(const Value& value);

private:
    std::optional<Term> term_;
};

// "15:04 UTC"; with the date when that is another day (of UTC) than `now`'s.
[[nodiscard]] std::string clock_face(WallTime time, WallTime now);

} // namespace agent
