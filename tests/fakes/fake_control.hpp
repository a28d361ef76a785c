// Owns both ends of the control socket in tests: ask() hands a request to the daemon's handler on
// the test's own io_context.
#pragma once

#include "agent/base/stop.hpp"
#include "agent/ports/control.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

namespace agent::test {

class FakeControlServer final : public ControlServer {
public:
    explicit FakeControlServer(std::stop_token stop) : stop_{std::move(stop)} {}

    boost::asio::awaitable<void> serve(Handler handler) override {
        handler_ = std::move(handler);
        const auto executor = co_await boost::asio::this_coro::executor;
        const auto bell = std::make_shared<boost::asio::steady_timer>(
            executor, std::chrono::steady_clock::time_point::max());
        const std::stop_callback on_stop{
            stop_, [bell, executor] { boost::asio::post(executor, [bell] { bell->cancel(); }); }};
        boost::system::error_code rung;
        if (!stop_.stop_requested())
            co_await bell->async_wait(
                boost::asio::redirect_error(boost::asio::use_awaitable, rung));
        throw Stopped{};
    }

    boost::asio::awaitable<ControlAnswer> ask(ControlPeer peer, ControlRequest request) {
        return handler_(peer, std::move(request));
    }

private:
    std::stop_token stop_;
    Handler handler_;
};

class FakeControlClient final : public ControlClient {
public:
    explicit FakeControlClient(Result<ControlAnswer> given) : answer{std::move(given)} {}
    Result<ControlAnswer> ask(const ControlRequest& request) override {
        asked.push_back(request);
        return answer;
    }

    Result<ControlAnswer> answer;
    std::vector<ControlRequest> asked;
};

} // namespace agent::test
