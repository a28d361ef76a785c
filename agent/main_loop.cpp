#include "agent/main_loop.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <exception>
#include <utility>

namespace agent {
namespace {

class Hangups {
public:
    Hangups(boost::asio::io_context& io, std::function<void()> on_hangup)
        : signals_{io}, on_hangup_{std::move(on_hangup)} {
        if (!on_hangup_)
            return;
        signals_.add(SIGHUP);
        wait();
    }
    void end() {
        ended_ = true;
        signals_.cancel();
    }

private:
    void wait() {
        signals_.async_wait([this](const boost::system::error_code& code, int) {
            if (code || ended_)
                return;
            on_hangup_();
            wait();
        });
    }

    boost::asio::signal_set signals_;
    std::function<void()> on_hangup_;
    bool ended_ = false;
};

} // namespace

int run_main_loop(boost::asio::io_context& io,
                  std::stop_source& stop,
                  boost::asio::awaitable<int> life,
                  std::function<void()> on_hangup) {
    boost::asio::signal_set signals{io, SIGTERM, SIGINT};
    signals.async_wait([&stop](const boost::system::error_code& code, int) {
        if (!code)
            stop.request_stop();
    });
    Hangups hangups{io, std::move(on_hangup)};
    std::exception_ptr failure;
    int result = 1;
    boost::asio::co_spawn(io, std::move(life), [&](const std::exception_ptr& thrown, int value) {
        failure = thrown;
        result = value;
        signals.cancel();
        hangups.end();
    });
    io.run();
    if (failure)
        std::rethrow_exception(failure);
    return result;
}

} // namespace agent
