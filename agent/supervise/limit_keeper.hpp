// Owns the loop that obeys the limits, and the file in which they outlive the daemon: the setup's
// clock, since when the machine has failed, and the stop that is planned. How the machine stands,
// the daemon knows.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/clock.hpp"
#include "agent/ports/services.hpp"
#include "agent/ports/terminals.hpp"
#include "agent/supervise/hold.hpp"
#include "agent/supervise/limits.hpp"
#include "agent/supervise/setup_clock.hpp"
#include "agent/supervise/terminal_watch.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

namespace agent {

class LimitKeeper {
public:
    using Time = LimitPolicy::Time;

    struct World {
        boost::asio::io_context& io;
        Root root;
        const Clock& clock;
        ServiceManager& services;
        Terminals& terminals;
        std::function<const Hold&()> hold;
        // What is planned is another thing now; must not throw.
        std::function<void()> on_change;
    };

    // Takes over what an earlier daemon of this boot left.
    explicit LimitKeeper(World world);

    // Until `stop`; then throws Stopped. Once at a time.
    boost::asio::awaitable<void> run(std::stop_token stop);
    // One look: warns, powers off.
    boost::asio::awaitable<void> look();
    // Something that counts has changed: the next look is now.
    void wake();

    // A setup by this configuration begins, or goes on.
    void begin(const LimitRules& rules, const std::string& configuration, SetupClock::Begin how);
    // What the metadata says in created-by; not called while it is not known.
    void created_by(const std::string& text);

    enum class Standing {
        working,      // steps run
        waiting,      // for people alone
        trying_again, // failed, and steps run again by themselves
        failed,       // for good; `reason`: one sentence
        done,         // ready or degraded
    };
    void stands(Standing standing, const std::string& reason = {});

    // Of the time that it may take.
    [[nodiscard]] Time setup_spent() const { return setup_.ran(now()); }
    // The stop that is near enough for the world to hear of.
    [[nodiscard]] const PlannedStop* near_stop() const;
    [[nodiscard]] std::optional<Time> next_look() const { return policy_.next_look(); }

private:
    [[nodiscard]] Time now() const;
    [[nodiscard]] LimitsSeen seen();
    void keep();
    [[nodiscard]] Value to_value() const;
    [[nodiscard]] Result<void> take(const Value& value);
    boost::asio::awaitable<void> nap(std::stop_token stop);

    World world_;
    Time booted_;
    LimitRules rules_;
    SetupClock setup_;
    std::optional<Time> failed_since_; // of this setup; counts only while it stands so
    Standing standing_ = Standing::working;
    std::string reason_;
    std::string group_;
    TerminalWatch terminal_watch_;
    LimitPolicy policy_;
    std::optional<PlannedStop> told_;
    bool told_near_ = false;
    std::string kept_; // the file's content
    bool woken_ = false;
    boost::asio::steady_timer timer_;
};

// For whoever only shows it; nullopt: none is planned.
[[nodiscard]] Result<std::optional<PlannedStop>> read_planned_stop(const Root& root);

} // namespace agent
