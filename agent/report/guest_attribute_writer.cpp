#include "agent/report/guest_attribute_writer.hpp"

#include "agent/base/log.hpp"
#include "agent/base/stop.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

namespace agent {
namespace {

using std::chrono::milliseconds;

// A state that is offered meanwhile may be due sooner than what we wait for.
constexpr milliseconds longest_nap{1000};

} // namespace

GuestAttributeWriter::GuestAttributeWriter(MetadataSource& metadata, Clock& clock, Root root)
    : metadata_{metadata}, clock_{clock}, record_{std::move(root)} {
    schedule_.count(record_.earlier(clock_.now()));
}

void GuestAttributeWriter::offer(const Status& status) {
    schedule_.offer(status);
    if (bell_)
        bell_->cancel();
}

boost::asio::awaitable<void> GuestAttributeWriter::run(std::stop_token stop) {
    while (true) {
        throw_if_stopped(stop);
        const Monotonic now = clock_.now();
        if (auto put = schedule_.next(now)) {
            co_await write(metadata_, clock_, std::move(*put));
        } else if (const auto wake = schedule_.wake(now)) {
            const auto left = std::chrono::ceil<milliseconds>(*wake - now);
            co_await clock_.sleep(std::min(left, longest_nap));
        } else {
            co_await wait_for_offer(stop);
        }
    }
}

boost::asio::awaitable<void>
GuestAttributeWriter::flush(MetadataSource& metadata, Clock& clock, milliseconds longest) {
    const Monotonic end = clock.now() + longest;
    while (true) {
        const Monotonic now = clock.now();
        const auto wake = schedule_.wake(now);
        if (!wake || *wake > end)
            co_return;
        if (auto put = schedule_.next(now))
            co_await write(metadata, clock, std::move(*put));
        else
            co_await clock.sleep(std::chrono::ceil<milliseconds>(*wake - now));
    }
}

boost::asio::awaitable<void> GuestAttributeWriter::write(MetadataSource& metadata,
                                                         Clock& clock,
                                                         GuestAttributeSchedule::Put put) {
    const bool was_disabled = schedule_.disabled();
    GuestWrite outcome = GuestWrite::later;
    try {
        outcome = co_await metadata.put_guest_attribute(put.key, put.value);
    } catch (...) {
        // It may have arrived: it counts, and will be told again.
        done(put, GuestWrite::later, clock.now());
        throw;
    }
    done(put, outcome, clock.now());
    if (schedule_.disabled() && !was_disabled)
        log::warning(
            "guest attributes are off, so nobody off this VM can read how far it got: set the "
            "metadata key enable-guest-attributes to TRUE");
    if (outcome == GuestWrite::rejected)
        log::warning("the metadata server rejected the guest attribute agent/" + put.key);
}

void GuestAttributeWriter::done(const GuestAttributeSchedule::Put& put,
                                GuestWrite outcome,
                                Monotonic now) {
    schedule_.done(put, outcome, now);
    if (auto remembered = record_.remember(schedule_.writes()); !remembered)
        log::warning(remembered.error().message);
}

boost::asio::awaitable<void> GuestAttributeWriter::wait_for_offer(std::stop_token stop) {
    const auto executor = co_await boost::asio::this_coro::executor;
    const auto bell = std::make_shared<boost::asio::steady_timer>(executor, Monotonic::max());
    bell_ = bell;
    const std::stop_callback on_stop{
        stop, [bell, executor] { boost::asio::post(executor, [bell] { bell->cancel(); }); }};
    boost::system::error_code rung;
    co_await bell->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, rung));
    bell_.reset();
}

} // namespace agent
