// Owns the drive: runs every step whose needs are met, concurrently, checks before and after,
// retries what is transient, looks again at what waits for a person, records in the ledger, tells
// each change. Decides nothing about which step may run (Plan), how long to wait (Backoff) or
// whether the run has had its time (RunClock).
#pragma once

#include "agent/graph/ledger.hpp"
#include "agent/graph/plan.hpp"
#include "agent/graph/run_clock.hpp"
#include "agent/graph/step.hpp"
#include "agent/ports/clock.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace agent {

// What a running step does with its time.
enum class Doing { working, trying_again, held_up };
[[nodiscard]] std::string_view name_of(Doing doing);

// Where one step stands; a copy of the engine's own record.
struct StepProgress {
    std::string id;
    StepState state = StepState::pending;
    Doing doing = Doing::working; // trying_again: it pauses before it does
    Importance importance = Importance::required;
    std::string reason;
    unsigned attempts = 0; // of apply() since the last success, earlier runs' included
    std::optional<WallTime> started;
    std::chrono::duration<double> took{0};
    std::optional<Error> error; // why it failed, or whom and what it waits for
    bool interrupted = false;   // the process was asked to stop while it was being made
};

// How long a run may take.
struct RunLimits {
    // All that the steps do, but not what is spent with waiting for a person alone. After it
    // nothing more is begun and what is under way is ended. Absent: no limit.
    std::optional<std::chrono::milliseconds> setup = {};
    // Of setup: what earlier runs, perhaps of another process, have taken.
    std::chrono::milliseconds spent{0};
    // One step's wait for a person; then it has failed.
    std::chrono::milliseconds person = std::chrono::hours{24};
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
        // After each change of a step; cheap, must not throw.
        std::function<void(const StepProgress&)> on_change;
        // A line of a step's output, or of ours about it: (id, line).
        std::function<void(std::string_view, std::string_view)> on_line;
        // Whether a person asked for this step; empty: nobody asked for any.
        std::function<bool(std::string_view)> asked_for = {};
        // Whether another run is wanted already: this one then waits for no person any longer.
        std::function<bool()> superseded = {};
        RunLimits limits = {};
    };

    Engine(World world, std::vector<Step> steps);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Converges once. An Error only when the table itself is broken; a step's failure is in its
    // progress. Throws Stopped when the process is asked to stop, once every step's coroutine has
    // unwound; the interrupted steps are recorded as such and are still running in progress().
    boost::asio::awaitable<Result<std::vector<StepProgress>>> converge();

    // What converge() would do now, by the same checks in the same order: changes nothing, records
    // nothing, tells nothing. As to Errors and Stopped the same.
    boost::asio::awaitable<Result<std::vector<Outlook>>> look();

    // In the table's order.
    [[nodiscard]] const std::vector<StepProgress>& progress() const { return progress_; }

private:
    class Context;
    class Work;
    using Drive = boost::asio::awaitable<StepState> (Engine::*)(std::size_t);
    // Every step whose needs have ended, concurrently, until none is left.
    boost::asio::awaitable<Result<void>> run_all(Drive each);
    boost::asio::awaitable<StepState> look_at(std::size_t index);
    // The first of what a step needs that is due itself or cannot be told; empty: none.
    [[nodiscard]] std::string unmet_need(std::size_t index) const;
    // What check() sees, and what the ledger adds to it.
    boost::asio::awaitable<Result<StepCheck>> find(std::size_t index, Context& context);
    boost::asio::awaitable<StepState> drive(std::size_t index);
    boost::asio::awaitable<Result<StepState>> bring_about(std::size_t index, Context& context);
    boost::asio::awaitable<Result<void>> apply_until_done(std::size_t index, Context& context);
    boost::asio::awaitable<Result<void>> apply_once(std::size_t index, Context& context);
    boost::asio::awaitable<Result<void>> verify(std::size_t index, Context& context);
    // Returns when it is time to look again; an Error when there will be no more looking.
    boost::asio::awaitable<Result<void>>
    wait_for_person(std::size_t index, Context& context, Error reason);
    [[nodiscard]] Error setup_is_over(std::size_t index, const std::string& cause) const;
    Result<void> record_success(std::size_t index);
    void record_outcome(std::size_t index, const char* outcome, const std::string& error);
    void take_back_attempt(std::size_t index, const std::string& reason);
    void changed(std::size_t index);

    World world_;
    std::vector<Step> steps_;
    std::vector<StepProgress> progress_;
    std::vector<Outlook> outlooks_; // of look()
    std::unordered_map<std::string, std::size_t> index_of_;
    RunClock run_clock_;
};

} // namespace agent
