// Owns a metadata server in tests: gives the facts it holds, records every PUT.
#pragma once

#include "agent/base/stop.hpp"
#include "agent/ports/metadata.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace agent::test {

class FakeMetadata final : public MetadataSource {
public:
    explicit FakeMetadata(std::stop_token stop = {}) : stop_{std::move(stop)} {}

    boost::asio::awaitable<Result<MachineFacts>> read() override {
        throw_if_stopped(stop_);
        ++reads;
        co_return facts;
    }

    // Waits until set_attribute() or the stop; a minute never passes by itself.
    boost::asio::awaitable<Result<std::string>> wait_for_attributes(std::string etag) override {
        throw_if_stopped(stop_);
        if (!etag.empty() && etag == current_etag())
            co_await wait_for(bell_);
        co_return current_etag();
    }

    // Waits until set_preempted() or the stop.
    boost::asio::awaitable<Result<Preemption>> wait_for_preemption(std::string etag) override {
        throw_if_stopped(stop_);
        const auto now = [this] { return preempted_ ? std::string{"yes"} : std::string{"no"}; };
        if (etag == now())
            co_await wait_for(preemption_bell_);
        co_return Preemption{preempted_, now()};
    }

    boost::asio::awaitable<GuestWrite> put_guest_attribute(std::string key,
                                                           std::string value) override {
        throw_if_stopped(stop_);
        GuestWrite outcome = GuestWrite::written;
        if (!outcomes.empty()) {
            outcome = outcomes.front();
            outcomes.pop_front();
        }
        puts.push_back({std::move(key), std::move(value), outcome});
        if (on_put)
            on_put();
        co_return outcome;
    }

    void set_attribute(const std::string& key, std::string value) {
        if (facts)
            facts->instance_attributes[key] = std::move(value);
        ++version_;
        if (bell_)
            bell_->cancel();
    }

    void set_preempted() {
        preempted_ = true;
        if (preemption_bell_)
            preemption_bell_->cancel();
    }

    [[nodiscard]] std::string current_etag() const { return "etag-" + std::to_string(version_); }

    // What a reader of the guest attribute sees now; empty: never written.
    [[nodiscard]] std::string told(const std::string& key) const {
        std::string last;
        for (const auto& put : puts)
            if (put.key == key && put.outcome == GuestWrite::written)
                last = put.value;
        return last;
    }

    struct Put {
        std::string key;
        std::string value;
        GuestWrite outcome = GuestWrite::written;
    };
    Result<MachineFacts> facts = MachineFacts{};
    std::deque<GuestWrite> outcomes; // of the next PUTs; empty: written
    std::vector<Put> puts;
    std::function<void()> on_put; // after each PUT was recorded
    unsigned reads = 0;

private:
    using Monotonic = std::chrono::steady_clock::time_point;
    using Bell = std::shared_ptr<boost::asio::steady_timer>;

    // Until somebody rings it; throws Stopped at the stop.
    boost::asio::awaitable<void> wait_for(Bell& place) {
        const auto executor = co_await boost::asio::this_coro::executor;
        const auto bell = std::make_shared<boost::asio::steady_timer>(executor, Monotonic::max());
        place = bell;
        const std::stop_callback on_stop{
            stop_, [bell, executor] { boost::asio::post(executor, [bell] { bell->cancel(); }); }};
        boost::system::error_code rung;
        co_await bell->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, rung));
        throw_if_stopped(stop_);
    }

    std::stop_token stop_;
    Bell bell_;
    Bell preemption_bell_;
    bool preempted_ = false;
    unsigned version_ = 1;
};

} // namespace agent::test
