#include "agent/graph/engine.hpp"

#include "agent/base/backoff.hpp"
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

constexpr Backoff retry_backoff{std::chrono::milliseconds{1000}, std::chrono::milliseconds{30'000}};

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
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline_ - engine_.world_.clock.now());
        if (left <= std::chrono::milliseconds{0})
            co_return out_of_time();
        command.deadline = std::min(command.deadline, left);
        if (!command.on_line)
            command.on_line = [this](std::string_view line) { log(line); };
        auto outcome = co_await engine_.world_.commands.run(std::move(command));
        co_return outcome;
    }

    void log(std::string_view line) override { engine_.world_.on_line(id(), line); }

    void progress(std::string_view phrase) override {
        engine_.progress_[index_].reason = phrase;
        log(phrase);
        engine_.changed();
    }

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
    [[nodiscard]] Monotonic deadline() const { return deadline_; }
    [[nodiscard]] Error out_of_time() const {
        const auto limit = engine_.steps_[index_].traits.deadline;
        return permanent("not done within its limit of " + std::to_string(limit.count()) + " s",
                         "see `agent log " + id() + "`, then `agent retry " + id() + "`");
    }

private:
    [[nodiscard]] const std::string& id() const { return engine_.steps_[index_].traits.id; }

    Engine& engine_;
    std::size_t index_;
    Monotonic deadline_;
    std::optional<std::string> last_fingerprint_;
    bool on_new_instance_ = false;
};

Engine::Engine(World world, std::vector<Step> steps)
    : world_{std::move(world)}, steps_{std::move(steps)} {
    for (const auto& step : steps_) {
        StepProgress progress;
        progress.id = step.traits.id;
        progress.importance = step.traits.importance;
        progress_.push_back(std::move(progress));
    }
}

Engine::~Engine() = default;

void Engine::changed() {
    world_.on_change(progress_);
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

    std::vector<std::size_t> ended;
    std::exception_ptr unwinding;
    std::size_t running = 0;
    asio::steady_timer wake{world_.io, asio::steady_timer::time_point::max()};
    while (!plan->settled() || running > 0) {
        if (!unwinding)
            for (const std::size_t index : plan->take_ready()) {
                ++running;
                asio::co_spawn(world_.io,
                               (this->*each)(index),
                               [&, index](const std::exception_ptr& failure, StepState state) {
                                   --running;
                                   if (failure)
                                       unwinding = failure;
                                   else
                                       plan->finish(index, state);
                                   ended.push_back(index);
                                   wake.cancel();
                               });
            }
        if (running == 0)
            break;
        if (ended.empty()) {
            boost::system::error_code cancelled;
            co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
        }
        ended.clear();
        for (std::size_t i = 0; i < steps_.size(); ++i)
            if (plan->state(i) == StepState::blocked) {
                progress_[i].state = StepState::blocked;
                progress_[i].reason = plan->blocked_by(i);
            }
        changed();
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
        for (const auto& other : outlooks_)
            if (other.will != Outlook::Will::nothing && needs(index, other.id)) {
                outlook.will = Outlook::Will::wait;
                outlook.after = other.id;
                break;
            }
    }
    // Also what needs a step that is due has something to tell.
    co_return StepState::satisfied;
}

bool Engine::needs(std::size_t index, const std::string& id) const {
    const auto& needed = steps_[index].traits.needs;
    return std::find(needed.begin(), needed.end(), id) != needed.end();
}

asio::awaitable<StepState> Engine::drive(std::size_t index) {
    StepProgress& progress = progress_[index];
    progress.state = StepState::running;
    progress.started = world_.clock.wall();
    const auto begin = world_.clock.now();
    changed();

    Context context{*this, index};
    Result<StepState> outcome = StepState::failed;
    try {
        outcome = co_await bring_about(index, context);
    } catch (const Stopped&) {
        progress.took = world_.clock.now() - begin;
        record_outcome(index, "interrupted", "");
        throw;
    } catch (const std::bad_alloc&) {
        throw;
    } catch (const std::exception& bug) {
        outcome = permanent(std::string{"a bug in this step: "} + bug.what(), "please report it");
    }
    progress.took = world_.clock.now() - begin;
    if (outcome) {
        progress.state = *outcome;
        progress.error.reset();
    } else {
        progress.state = StepState::failed;
        progress.error = outcome.error();
        progress.reason.clear();
        world_.on_line(progress.id, "failed: " + outcome.error().message);
        record_outcome(index, "failed", outcome.error().message);
    }
    co_return progress.state;
}

asio::awaitable<Result<StepCheck>> Engine::find(std::size_t index, Context& context) {
    auto found = co_await steps_[index].guarantee->check(context);
    if (found && steps_[index].traits.scope == Scope::instance && context.on_new_instance())
        co_return StepCheck::due("this disk was provisioned on another instance");
    co_return found;
}

asio::awaitable<Result<StepState>> Engine::bring_about(std::size_t index, Context& context) {
    auto found = co_await find(index, context);
    if (!found)
        co_return found.error();
    StepProgress& progress = progress_[index];
    progress.reason = found->reason;
    if (found->satisfied) {
        if (auto recorded = record_success(index); !recorded)
            co_return recorded.error();
        co_return StepState::satisfied;
    }
    world_.on_line(progress.id, "due: " + progress.reason);
    changed();
    if (auto applied = co_await apply_until_done(index, context); !applied)
        co_return applied.error();
    if (auto recorded = record_success(index); !recorded)
        co_return recorded.error();
    co_return StepState::applied;
}

asio::awaitable<Result<void>> Engine::apply_until_done(std::size_t index, Context& context) {
    StepProgress& progress = progress_[index];
    for (unsigned attempt = 1;; ++attempt) {
        progress.attempts = attempt;
        auto applied = co_await apply_once(index, context);
        if (applied || applied.error().kind != ErrorKind::transient ||
            attempt >= steps_[index].traits.attempts)
            co_return applied;
        const auto delay = retry_backoff.delay(attempt, world_.clock.random());
        if (world_.clock.now() + delay >= context.deadline())
            co_return applied;
        progress.reason = "trying again: " + applied.error().message;
        world_.on_line(progress.id, progress.reason);
        changed();
        co_await world_.clock.sleep(delay);
    }
}

asio::awaitable<Result<void>> Engine::apply_once(std::size_t index, Context& context) {
    const Step& step = steps_[index];
    const LedgerEntry* known = world_.ledger.find(step.traits.id);
    LedgerEntry entry = known ? *known : LedgerEntry{};
    entry.attempts += 1;
    entry.outcome = "started";
    entry.error.clear();
    if (auto recorded = world_.ledger.record(step.traits.id, entry); !recorded)
        co_return recorded;

    auto applied = co_await step.guarantee->apply(context);
    if (!applied)
        co_return applied;
    auto before = context.made_from(step.guarantee->fingerprint());
    auto found = co_await step.guarantee->check(context);
    if (!found || !found->satisfied)
        before = context.made_from(std::move(before));
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

} // namespace agent
