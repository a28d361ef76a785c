// Owns the Clock of the real world.
#pragma once

#include "agent/base/boot_time.hpp"
#include "agent/ports/clock.hpp"

#include <boost/asio/io_context.hpp>

#include <random>
#include <stop_token>

namespace agent {

class SystemClock : public Clock {
public:
    SystemClock(boost::asio::io_context& io, std::stop_token stop)
        : io_{io}, stop_{std::move(stop)} {}
    [[nodiscard]] Monotonic now() const override { return std::chrono::steady_clock::now(); }
    [[nodiscard]] WallTime wall() const override { return std::chrono::system_clock::now(); }
    [[nodiscard]] WallTime earliest() const override { return released; }
    [[nodiscard]] std::chrono::nanoseconds since_boot() const override {
        return agent::since_boot();
    }
    boost::asio::awaitable<void> sleep(std::chrono::milliseconds duration) override;
    [[nodiscard]] double random() override;

private:
    // Moved on with each version; a constant, so that the same sources make the same binary.
    static constexpr std::chrono::sys_days released{std::chrono::year{2026} / 1 / 1};

    boost::asio::io_context& io_;
    std::stop_token stop_;
    std::mt19937 random_{std::random_device{}()};
};

} // namespace agent
