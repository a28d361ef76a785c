// Port: time. Waits use the monotonic clock; the wall clock is only for people and certificates.
#pragma once

#include <boost/asio/awaitable.hpp>

#include <chrono>

namespace agent {

using Monotonic = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

class Clock {
public:
    virtual ~Clock() = default;
    [[nodiscard]] virtual Monotonic now() const = 0;
    [[nodiscard]] virtual WallTime wall() const = 0;
    // A wall clock that shows less than this is wrong: the program is not older.
    [[nodiscard]] virtual WallTime earliest() const = 0;
    // As base/boot_time.hpp: for what outlives this process, but not the boot.
    [[nodiscard]] virtual std::chrono::nanoseconds since_boot() const = 0;
    // Throws Stopped when the process is asked to stop meanwhile.
    virtual boost::asio::awaitable<void> sleep(std::chrono::milliseconds duration) = 0;
    // In [0, 1): jitter.
    [[nodiscard]] virtual double random() = 0;
};

} // namespace agent
