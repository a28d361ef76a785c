#include "agent/graph/engine.hpp"

#include "agent/base/backoff.hpp"
#include "agent/base/duration.hpp"
#include "agent/base/stop.hpp"
#include "agent/base/text.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <utility>

namespace agent {
namespace {

namespace asio = boost::asio;

using std::chrono::milliseconds;

constexpr Backoff retry_backoff{milliseconds{1000}, milliseconds{30'000}};
// How often a step that waits for a person is looked at: soon at first, for whoever is at it.
constexpr Backoff person_backoff{milliseconds{10'000}, milliseconds{120'000}};
// How soon it is noticed that another run is wanted.
constexpr milliseconds person_nap{2000};

} // namespace

std::string_view name_of(Outlook::Will will) {
    switch (will) {
    case Outlook::Will::nothing:
        return "nothing";
    case Outlook::Will::run:
        return "run";
    case Outlook::Will::wait:
        return "wait";
    case Outlook::Will::fail:
        break;
    }
    return "fail";
}

std::string_view name_of(Doing doing) {
    switch (doing) {
    case Doing::working:
        return "working";
    case Doing::trying_again:
        return "trying_again";
    case Doing::held_up:
        break;
    }
    return "held_up";
}

// One step's view of the world during one run.
class Engine::Context : public StepContext {
public:
    Context(Engine& engine, std::size_t index)
        : engine_{engine}, index_{index},
          deadline_{engine.world_.clock.now() + engine.steps_[index].traits.deadline} {
        const LedgerEntry* entry = engine.world_.ledger.find(id());
        if (entry && !entry->fingerprint.empty())
            last_fingerprint_ = entry->fingerprint;
        on_new_instance_ = entry && !entry->instance_id.empty() &&
                           !engine.world_.instance_id.empty() &&
                           entry->instance_id != engine.world_.instance_id;
    }

    asio::awaitable<Result<CommandOutcome>> run(Command command) override {
        const auto left = time_left();
        if (left <= milliseconds{0})
            co_return out_of_time();
        command.deadline = std::min(command.deadline, left);
        if (!command.on_line)
            command.on_line = [this](std::string_view line) { log(line); };
        auto outcome = co_await engine_.world_.commands.run(std::move(command));
        co_return outcome;
    }

    void log(std::string_view line) override { engine_.world_.on_line(id(), line); }

    void progress(std::string_view phrase) override { tell(Doing::working, phrase); }
    void held_up(std::string_view phrase) override { tell(Doing::held_up, phrase); }

    [[nodiscard]] std::optional<std::string> last_fingerprint() const override {
        return last_fingerprint_;
    }
    [[nodiscard]] bool on_new_instance() const override { return on_new_instance_; }
    [[nodiscard]] bool asked_for() const override {
        return engine_.world_.asked_for && engine_.world_.asked_for(id());
    }

    // What is looked at next was made from these inputs; gives those before.
    [[nodiscard]] std::optional<std::string> made_from(std::optional<std::string> fingerprint) {
        return std::exchange(last_fingerprint_, std::move(fingerprint));
    }
    [[nodiscard]] milliseconds time_left() const {
        const auto now = engine_.world_.clock.now();
        const auto own = std::chrono::duration_cast<milliseconds>(deadline_ - now);
        const auto runs = applying_ ? engine_.run_clock_.left(now) : std::nullopt;
        return runs ? std::min(own, *runs) : own;
    }
    [[nodiscard]] Error out_of_time() const {
        if (applying_ && engine_.run_clock_.is_over(engine_.world_.clock.now()))
            return transient("its time was over");
        const auto limit = engine_.steps_[index_].traits.deadline;
        return permanent("not done within its limit of " + std::to_string(limit.count()) + " s",
                         "see `agent log " + id() + "`, then `agent retry " + id() + "`");
    }
    // One more look at what a person has not done yet: how many that makes.
    unsigned look_again() {
        making_ = false;
        return ++looks_;
    }
    // What a person takes is not the step's time. Gives what he has taken in all.
    Monotonic::duration add_waiting(Monotonic::duration more) {
        deadline_ += more;
        return waited_ += more;
    }
    // A run that has had its time still looks, but makes nothing.
    class Applying {
    public:
        explicit Applying(Context& context) : context_{context} {
            context_.applying_ = context_.making_ = true;
        }
        ~Applying() { context_.applying_ = false; }
        Applying(const Applying&) = delete;
        Applying& operator=(const Applying&) = delete;

    private:
        Context& context_;
    };
    void could_not_look(bool failed) { unverified_ = failed; }
    [[nodiscard]] bool is_unverified() const { return unverified_; }
    // From the first attempt on, the pauses between attempts included.
    [[nodiscard]] bool is_making() const { return making_; }

private:
    [[nodiscard]] const std::string& id() const { return engine_.steps_[index_].traits.id; }
    void tell(Doing doing, std::string_view phrase) {
        StepProgress& progress = engine_.progress_[index_];
        progress.doing = doing;
        progress.reason = phrase;
        log(phrase);
        engine_.changed(index_);
    }

    Engine& engine_;
    std::size_t index_;
    Monotonic deadline_;
    std::optional<std::string> last_fingerprint_;
    bool on_new_instance_ = false;
    bool applying_ = false;
    bool making_ = false;
    bool unverified_ = false;
    unsigned looks_ = 0;
    Monotonic::duration waited_{0};
};

// While it lives, a step's time is the run's.
class Engine::Work {
public:
    explicit Work(Engine& engine) : engine_{engine} {
        engine_.run_clock_.begin_work(engine_.world_.clock.now());
    }
    ~Work() { engine_.run_clock_.end_work(engine_.world_.clock.now()); }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    // For as long as it lives, the step does nothing.
    class Rest {
    public:
        explicit Rest(Engine& engine) : engine_{engine} {
            engine_.run_clock_.end_work(engine_.world_.clock.now());
        }
        ~Rest() { engine_.run_clock_.begin_work(engine_.world_.clock.now()); }
        Rest(const Rest&) = delete;
        Rest& operator=(const Rest&) = delete;

    private:
        Engine& engine_;
    };

private:
    Engine& engine_;
};

Engine::Engine(World world, std::vector<Step> steps)
    : world_{std::move(world)}, steps_{std::move(steps)},
      run_clock_{world_.limits.setup, world_.limits.spent} {
    for (const auto& step : steps_) {
        StepProgress progress;
        progress.id = step.traits.id;
        progress.importance = step.traits.importance;
        index_of_.emplace(progress.id, progress_.size());
        progress_.push_back(std::move(progress));
    }
}

Engine::~Engine() = default;

void Engine::changed(std::size_t index) {
    world_.on_change(progress_[index]);
}

asio::awaitable<Result<std::vector<StepProgress>>> Engine::converge() {
    auto ran = co_await run_all(&Engine::drive);
    if (!ran)
        co_return ran.error();
    co_return progress_;
}

asio::awaitable<Result<std::vector<Outlook>>> Engine::look() {
    outlooks_.clear();
    for (const auto& step : steps_)
        outlooks_.push_back({.id = step.traits.id, .after = {}, .why = {}});
    auto ran = co_await run_all(&Engine::look_at);
    if (!ran)
        co_return ran.error();
    co_return std::move(outlooks_);
}

asio::awaitable<Result<void>> Engine::run_all(Drive each) {
    std::vector<StepTraits> traits;
    for (const auto& step : steps_)
        traits.push_back(step.traits);
    auto plan = Plan::make(traits);
    if (!plan)
        co_return plan.error();

    bool news = false;
    std::exception_ptr unwinding;
    std::size_t running = 0;
    asio::steady_timer wake{world_.io, asio::steady_timer::time_point::max()};
    const auto end = [&](std::size_t index, const std::exception_ptr& failure, StepState state) {
        --running;
        news = true;
        wake.cancel();
        if (failure) {
            unwinding = failure;
            return;
        }
        for (const std::size_t blocked : plan->finish(index, state)) {
            progress_[blocked].state = StepState::blocked;
            progress_[blocked].reason = plan->blocked_by(blocked);
            changed(blocked);
        }
    };
    while (!plan->settled() || running > 0) {
        if (!unwinding)
            for (const std::size_t index : plan->take_ready()) {
                ++running;
                asio::co_spawn(world_.io,
                               (this->*each)(index),
                               [&end, index](const std::exception_ptr& failure, StepState state) {
                                   end(index, failure, state);
                               });
            }
        if (running == 0)
            break;
        if (!std::exchange(news, false)) {
            boost::system::error_code cancelled;
            co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
        }
    }
    if (unwinding)
        std::rethrow_exception(unwinding);
    co_return Result<void>{};
}

asio::awaitable<StepState> Engine::look_at(std::size_t index) {
    Context context{*this, index};
    Result<StepCheck> found = StepCheck{};
    try {
        found = co_await find(index, context);
    } catch (const Stopped&) {
        throw;
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception& bug) {
        found = permanent(std::string{"a bug in this step: "} + bug.what());
    }
    Outlook& outlook = outlooks_[index];
    if (found) {
        outlook.will = found->satisfied ? Outlook::Will::nothing : Outlook::Will::run;
        outlook.why = found->reason;
    } else {
        outlook.will = Outlook::Will::fail;
        outlook.why = found.error().message;
        outlook.after = unmet_need(index);
        if (!outlook.after.empty())
            outlook.will = Outlook::Will::wait;
    }
    // Also what needs a step that is due has something to tell.
    co_return StepState::satisfied;
}

std::string Engine::unmet_need(std::size_t index) const {
    std::optional<std::size_t> first;
    for (const auto& need : steps_[index].traits.needs)
        if (const std::size_t other = index_of_.at(need);
            outlooks_[other].will != Outlook::Will::nothing)
            first = std::min(first.value_or(other), other);
    return first ? outlooks_[*first].id : std::string{};
}

asio::awaitable<StepState> Engine::drive(std::size_t index) {
    const Work work{*this};
    StepProgress& progress = progress_[index];
    progress.state = StepState::running;
    progress.started = world_.clock.wall();
    if (const LedgerEntry* known = world_.ledger.find(progress.id))
        progress.attempts = known->attempts;
    const auto begin = world_.clock.now();
    changed(index);

    Context context{*this, index};
    Result<StepState> outcome = StepState::failed;
    try {
        outcome = co_await bring_about(index, context);
    } catch (const Stopped&) {
        progress.took = world_.clock.now() - begin;
        if (context.is_making()) {
            world_.on_line(progress.id, "interrupted: the agent was asked to stop");
            record_outcome(index, "interrupted", "");
            progress.interrupted = true;
            changed(index);
        }
        throw;
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception& bug) {
        outcome = permanent(std::string{"a bug in this step: "} + bug.what(), "please report it");
    }
    progress.took = world_.clock.now() - begin;
    progress.doing = Doing::working;
    if (outcome) {
        progress.state = *outcome;
        progress.error.reset();
    } else if (outcome.error().kind == ErrorKind::waiting) {
        progress.state = StepState::waiting;
        progress.error = outcome.error();
    } else {
        progress.state = StepState::failed;
        progress.error = outcome.error();
        progress.reason.clear();
        world_.on_line(progress.id, "failed: " + outcome.error().message);
        record_outcome(index, "failed", outcome.error().message);
    }
    changed(index);
    co_return progress.state;
}

asio::awaitable<Result<StepCheck>> Engine::find(std::size_t index, Context& context) {
    auto found = co_await steps_[index].guarantee->check(context);
    if (found && steps_[index].traits.scope == Scope::instance && context.on_new_instance())
        co_return StepCheck::due("this disk was provisioned on another instance");
    co_return found;
}

asio::awaitable<Result<StepState>> Engine::bring_about(std::size_t index, Context& context) {
    StepProgress& progress = progress_[index];
    while (true) {
        auto found = co_await find(index, context);
        std::optional<Error> obstacle;
        if (!found) {
            obstacle = found.error();
        } else if (found->satisfied) {
            progress.reason = found->reason;
            if (auto recorded = record_success(index); !recorded)
                co_return recorded.error();
            co_return StepState::satisfied;
        } else {
            progress.reason = found->reason;
            world_.on_line(progress.id, "due: " + progress.reason);
            changed(index);
            auto applied = co_await apply_until_done(index, context);
            if (applied) {
                if (auto recorded = record_success(index); !recorded)
                    co_return recorded.error();
                co_return StepState::applied;
            }
            obstacle = applied.error();
        }
        if (obstacle->kind != ErrorKind::waiting)
            co_return *obstacle;
        auto waited = co_await wait_for_person(index, context, *obstacle);
        if (!waited)
            co_return waited.error();
    }
}

asio::awaitable<Result<void>>
Engine::wait_for_person(std::size_t index, Context& context, Error reason) {
    StepProgress& progress = progress_[index];
    const auto begin = world_.clock.now();
    const unsigned look = context.look_again();
    if (look == 1)
        world_.on_line(progress.id, "waits for a person: " + reason.message + "; " + reason.next);
    progress.state = StepState::waiting;
    progress.reason = reason.message;
    progress.error = reason;
    changed(index);
    {
        const Work::Rest rest{*this};
        const auto until = begin + person_backoff.delay(look, world_.clock.random());
        while (world_.clock.now() < until) {
            if (world_.superseded && world_.superseded())
                co_return reason;
            const auto left = std::chrono::ceil<milliseconds>(until - world_.clock.now());
            co_await world_.clock.sleep(std::min(left, person_nap));
        }
    }
    if (context.add_waiting(world_.clock.now() - begin) >= world_.limits.person)
        co_return permanent(
            "nobody did within " +
                in_units(std::chrono::floor<std::chrono::seconds>(world_.limits.person)) +
                " what it waits for: " + reason.message,
            reason.next);
    progress.state = StepState::running;
    progress.error.reset();
    changed(index);
    co_return Result<void>{};
}

Error Engine::setup_is_over(std::size_t index, const std::string& cause) const {
    const StepProgress& progress = progress_[index];
    return permanent("the setup was not done within its limit of " +
                         in_units(std::chrono::floor<std::chrono::seconds>(
                             run_clock_.limit().value_or(milliseconds{0}))) +
                         "; it stood at: " + progress.reason +
                         (cause.empty() ? "" : " (" + cause + ")"),
                     "see `agent log " + progress.id +
                         "`; mend what takes so long or make [limits] setup longer, then `agent "
                         "retry`");
}

asio::awaitable<Result<void>> Engine::apply_until_done(std::size_t index, Context& context) {
    StepProgress& progress = progress_[index];
    const Context::Applying applying{context};
    for (unsigned attempt = 1;; ++attempt) {
        if (run_clock_.is_over(world_.clock.now()))
            co_return setup_is_over(index, "");
        // What was made and could not be looked at is not made once more.
        Result<void> applied;
        if (context.is_unverified())
            applied = co_await verify(index, context);
        else
            applied = co_await apply_once(index, context);
        if (applied)
            co_return applied;
        if (applied.error().kind == ErrorKind::waiting) {
            take_back_attempt(index, applied.error().message);
            co_return applied;
        }
        if (run_clock_.is_over(world_.clock.now()))
            co_return setup_is_over(index, applied.error().message);
        if (applied.error().kind != ErrorKind::transient ||
            attempt >= steps_[index].traits.attempts)
            co_return applied;
        const auto delay = retry_backoff.delay(attempt, world_.clock.random());
        if (delay >= context.time_left())
            co_return applied;
        progress.reason = "trying again: " + applied.error().message;
        progress.doing = Doing::trying_again;
        world_.on_line(progress.id, progress.reason);
        changed(index);
        co_await world_.clock.sleep(delay);
        progress.doing = Doing::working;
        changed(index);
    }
}

asio::awaitable<Result<void>> Engine::apply_once(std::size_t index, Context& context) {
    const Step& step = steps_[index];
    const LedgerEntry* known = world_.ledger.find(step.traits.id);
    LedgerEntry entry = known ? *known : LedgerEntry{};
    if (entry.outcome == "started" || entry.outcome == "interrupted")
        world_.on_line(step.traits.id,
                       "the run before ended in the middle of this, at attempt " +
                           std::to_string(entry.attempts));
    entry.attempts += 1;
    entry.outcome = "started";
    entry.error.clear();
    if (auto recorded = world_.ledger.record(step.traits.id, entry); !recorded)
        co_return recorded;
    progress_[index].attempts = entry.attempts;

    auto applied = co_await step.guarantee->apply(context);
    if (!applied)
        co_return applied;
    co_return co_await verify(index, context);
}

asio::awaitable<Result<void>> Engine::verify(std::size_t index, Context& context) {
    const Step& step = steps_[index];
    auto before = context.made_from(step.guarantee->fingerprint());
    auto found = co_await step.guarantee->check(context);
    if (!found || !found->satisfied)
        before = context.made_from(std::move(before));
    context.could_not_look(!found);
    if (!found)
        co_return agent::context(found.error(), "verifying");
    if (!found->satisfied)
        co_return permanent("done, and yet not so: " + found->reason);
    progress_[index].reason = found->reason;
    co_return Result<void>{};
}

Result<void> Engine::record_success(std::size_t index) {
    const Step& step = steps_[index];
    const LedgerEntry* known = world_.ledger.find(step.traits.id);
    LedgerEntry entry;
    entry.fingerprint = step.guarantee->fingerprint();
    // An id that could not be read never replaces one that was.
    entry.instance_id =
        world_.instance_id.empty() && known ? known->instance_id : world_.instance_id;
    entry.outcome = "done";
    return world_.ledger.record(step.traits.id, std::move(entry));
}

// A failure to record changes nothing about the outcome: the next run re-checks reality anyway.
void Engine::record_outcome(std::size_t index, const char* outcome, const std::string& error) {
    const auto& id = steps_[index].traits.id;
    const LedgerEntry* known = world_.ledger.find(id);
    LedgerEntry entry = known ? *known : LedgerEntry{};
    entry.outcome = outcome;
    entry.error = error;
    if (auto recorded = world_.ledger.record(id, std::move(entry)); !recorded)
        world_.on_line(id, recorded.error().message);
}

// What waits for a person was no attempt.
void Engine::take_back_attempt(std::size_t index, const std::string& reason) {
    const auto& id = steps_[index].traits.id;
    LedgerEntry entry = *world_.ledger.find(id);
    entry.attempts -= 1;
    progress_[index].attempts = entry.attempts;
    entry.outcome = "waiting";
    entry.error = reason;
    if (auto recorded = world_.ledger.record(id, std::move(entry)); !recorded)
        world_.on_line(id, recorded.error().message);
}

} // namespace agent
