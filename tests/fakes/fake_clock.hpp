// Owns time in tests: nothing waits for real. Either whoever sleeps moves time to his waking (in
// the right order when several sleep), or sleepers wait until the test calls advance().
#pragma once

#include "agent/base/stop.hpp"
#include "agent/ports/clock.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

namespace agent::test {

class FakeClock final : public Clock {
public:
    enum class Advance { by_sleeping, by_hand };

    explicit FakeClock(Advance advance = Advance::by_sleeping, std::stop_token stop = {})
        : mode_{advance}, stop_{std::move(stop)} {}

    [[nodiscard]] Monotonic now() const override { return now_; }
    [[nodiscard]] WallTime wall() const override {
        return wall_start + wall_jump +
               std::chrono::duration_cast<WallTime::duration>(now_ - Monotonic{});
    }
    [[nodiscard]] WallTime earliest() const override { return wall_start; }

    [[nodiscard]] std::chrono::nanoseconds since_boot() const override {
        return now_ - Monotonic{};
    }

    boost::asio::awaitable<void> sleep(std::chrono::milliseconds duration) override {
        throw_if_stopped(stop_);
        slept.push_back(duration);
        const auto executor = co_await boost::asio::this_coro::executor;
        const auto sleeper = std::make_shared<Sleeper>(executor, now_ + duration);
        sleepers_.push_back(sleeper);
        const std::stop_callback on_stop{stop_, [sleeper, executor] {
                                             boost::asio::post(
                                                 executor, [sleeper] { sleeper->bell.cancel(); });
                                         }};
        if (mode_ == Advance::by_sleeping)
            boost::asio::post(executor, [this] { wake_next(); });
        boost::system::error_code rung;
        co_await sleeper->bell.async_wait(
            boost::asio::redirect_error(boost::asio::use_awaitable, rung));
        sleepers_.remove(sleeper);
        throw_if_stopped(stop_);
    }

    [[nodiscard]] double random() override { return chance; }

    // Wakes whoever is due by then.
    void advance(std::chrono::milliseconds duration) {
        now_ += duration;
        for (const auto& sleeper : sleepers_)
            if (sleeper->due <= now_)
                sleeper->bell.cancel();
    }

    [[nodiscard]] std::size_t sleeping() const { return sleepers_.size(); }

    static constexpr WallTime wall_start{std::chrono::seconds{1'700'000'000}};
    std::vector<std::chrono::milliseconds> slept; // every sleep, in order
    double chance = 0.5;
    std::chrono::seconds wall_jump{0}; // somebody has set the machine's clock

private:
    struct Sleeper {
        Sleeper(const boost::asio::any_io_executor& executor, Monotonic until)
            : bell{executor, Monotonic::max()}, due{until} {}
        boost::asio::steady_timer bell; // never expires: cancel() rings it
        Monotonic due;
        bool woken = false;
    };

    void wake_next() {
        std::shared_ptr<Sleeper> first;
        for (const auto& sleeper : sleepers_)
            if (!sleeper->woken && (!first || sleeper->due < first->due))
                first = sleeper;
        if (!first)
            return;
        first->woken = true;
        now_ = std::max(now_, first->due);
        first->bell.cancel();
    }

    Advance mode_;
    std::stop_token stop_;
    Monotonic now_{std::chrono::hours{1}};
    std::list<std::shared_ptr<Sleeper>> sleepers_;
};

} // namespace agent::test
