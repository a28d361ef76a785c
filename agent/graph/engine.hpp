// Owns the drive: runs every step whose needs are met, concurrently, checks before and after,
// retries what is transient, records in the ledger, tells each change. Decides nothing about which
// step may run (Plan) or how long to wait (Backoff).
#pragma once

#include "agent/graph/ledger.hpp"
#include "agent/graph/plan.hpp"
#include "agent/graph/step.hpp"
#include "agent/ports/clock.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace agent {

// Where one step stands; a copy of the engine's own record.
struct StepProgress {
    std::string id;
    StepState state = StepState::pending;
    Importance importance = Importance::required;
    std::string reason;
    unsigned attempts = 0;
    std::optional<WallTime> started;
    std::chrono::duration<double> took{0};
    std::optional<Error> error;
};

// What a run would do about one step, found without doing it.
struct Outlook {
    enum class Will {
        nothing,
        run,
        wait, // it cannot be told before another step has run
        fail, // it cannot be told at all: the run would fail here
    };
    std::string id;
    Will will = Will::nothing;
    std::string after; // of wait: that other step
    std::string why;
};
[[nodiscard]] std::string_view name_of(Outlook::Will will);

class Engine {
public:
    struct World {
        boost::asio::io_context& io;
        CommandRunner& commands;
        Clock& clock;
        Ledger& ledger;
        std::string instance_id; // empty: could not be read, never a new instance
        // After each change; cheap, must not throw.
        std::function<void(const std::vector<StepProgress>&)> on_change;
        // A line of a step's output, or of ours about it: (id, line).
        std::function<void(std::string_view, std::string_view)> on_line;
        // Whether a person asked for this step; empty: nobody asked for any.
        std::function<bool(std::string_view)> asked_for = {};
    };

    Engine(World world, std::vector<Step> steps);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Converges once. An Error only when the table itself is broken; a step's failure is in its
    // progress. Throws Stopped when the process is asked to stop, once every step's coroutine has
    // unwound; the interrupted steps are recorded as such.
    boost::asio::awaitable<Result<std::vector<StepProgress>>> converge();

    // What converge() would do now, by the same checks in the same order: changes nothing, records
    // nothing, tells nothing. As to Errors and Stopped the same.
    boost::asio::awaitable<Result<std::vector<Outlook>>> look();

private:
    class Context;
    using Drive = boost::asio::awaitable<StepState> (Engine::*)(std::size_t);
    // Every step whose needs have ended, concurrently, until none is left.
    boost::asio::awaitable<Result<void>> run_all(Drive each);
    boost::asio::awaitable<StepState> look_at(std::size_t index);
    [[nodiscard]] bool needs(std::size_t index, const std::string& id) const;
    // What check() sees, and what the ledger adds to it.
    boost::asio::awaitable<Result<StepCheck>> find(std::size_t index, Context& context);
    boost::asio::awaitable<StepState> drive(std::size_t index);
    boost::asio::awaitable<Result<StepState>> bring_about(std::size_t index, Context& context);
    boost::asio::awaitable<Result<void>> apply_until_done(std::size_t index, Context& context);
    boost::asio::awaitable<Result<void>> apply_once(std::size_t index, Context& context);
    Result<void> record_success(std::size_t index);
    void record_outcome(std::size_t index, const char* outcome, const std::string& error);
    void changed();

    World world_;
    std::vector<Step> steps_;
    std::vector<StepProgress> progress_;
    std::vector<Outlook> outlooks_; // of look()
};

} // namespace agent
