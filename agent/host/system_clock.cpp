#include "agent/host/system_clock.hpp"

#include "agent/base/stop.hpp"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agent {

boost::asio::awaitable<void> SystemClock::sleep(std::chrono::milliseconds duration) {
    throw_if_stopped(stop_);
    boost::asio::steady_timer timer{io_, duration};
    const std::stop_callback on_stop{stop_, [&timer] { timer.cancel(); }};
    boost::system::error_code cancelled;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, cancelled));
    throw_if_stopped(stop_);
}

double SystemClock::random() {
    return std::uniform_real_distribution<>{0.0, 1.0}(random_);
}

} // namespace agent
