// Owns the loop that obeys the schedule of guest attributes: offer → PUT, with the failures looked
// at.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/report/guest_attributes.hpp"
#include "agent/report/guest_write_record.hpp"
#include "agent/report/status.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <memory>
#include <stop_token>

namespace agent {

class GuestAttributeWriter {
public:
    // `metadata` and `clock` outlive run(). What was written before this process counts, as far as
    // `root` tells.
    GuestAttributeWriter(MetadataSource& metadata, Clock& clock, Root root);

    // The newest status; never waits.
    void offer(const Status& status);

    // Writes what was offered when it is due, until `stop`; then throws Stopped. Once at a time.
    boost::asio::awaitable<void> run(std::stop_token stop);

    // After run() has ended: tells what is left, but starts no write after `longest`. The budget
    // holds here too; a newest state has its three writes unless states changed faster than that.
    // `metadata` and `clock` are ones that the stop which ended run() does not stop.
    boost::asio::awaitable<void>
    flush(MetadataSource& metadata, Clock& clock, std::chrono::milliseconds longest);

    // Guest attributes are off on this VM (403).
    [[nodiscard]] bool disabled() const { return schedule_.disabled(); }

private:
    boost::asio::awaitable<void>
    write(MetadataSource& metadata, Clock& clock, GuestAttributeSchedule::Put put);
    void done(const GuestAttributeSchedule::Put& put, GuestWrite outcome, Monotonic now);
    boost::asio::awaitable<void> wait_for_offer(std::stop_token stop);

    MetadataSource& metadata_;
    Clock& clock_;
    GuestWriteRecord record_;
    GuestAttributeSchedule schedule_;
    std::shared_ptr<boost::asio::steady_timer>
        bell_; // rung by offer() while run() has nothing to do
};

} // namespace agent
