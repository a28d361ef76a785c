#include "agent/main_loop.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <exception>

namespace agent {

int run_main_loop(boost::asio::io_context& io,
                  std::stop_source& stop,
                  boost::asio::awaitable<int> life) {
    boost::asio::signal_set signals{io, SIGTERM, SIGINT};
    signals.async_wait([&stop](const boost::system::error_code& code, int) {
        if (!code)
            stop.request_stop();
    });
    std::exception_ptr failure;
    int result = 1;
    boost::asio::co_spawn(io, std::move(life), [&](const std::exception_ptr& thrown, int value) {
        failure = thrown;
        result = value;
        signals.cancel();
    });
    io.run();
    if (failure)
        std::rethrow_exception(failure);
    return result;
}

} // namespace agent
