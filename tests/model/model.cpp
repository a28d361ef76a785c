#include "tests/model/model.hpp"

#include "agent/base/stop.hpp"
#include "agent/graph/engine.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/support/run_coroutine.hpp"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace agent::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

// The power is gone. No std::exception: nothing in the product knows it.
struct PowerCut {};

class Chance {
public:
    explicit Chance(std::uint32_t seed) : engine_{seed} {}
    bool one_in(unsigned n) { return engine_() % n == 0; }
    unsigned below(unsigned n) { return static_cast<unsigned>(engine_() % n); }

private:
    std::mt19937 engine_;
};

struct ModelStep {
    StepTraits traits;
    unsigned wanted = 1; // what the configuration asks for; changes with it
    // What survives.
    unsigned made = 0;       // 0: not there; half_made: what a crash left
    std::string made_on;     // the instance
    unsigned times_made = 0; // of this wanted
    bool person_is_done = true;
};
constexpr unsigned half_made = 1'000'000;

struct Faults {
    bool any = false;
    std::optional<unsigned> power_lasts; // for so many more acts of the machine
    std::optional<unsigned> stop_after;
    bool disk_is_full = false;
};

// The machine that all of it happens on.
class Model {
public:
    explicit Model(std::uint32_t seed) : chance_{seed} {
        const unsigned count = 1 + chance_.below(9);
        const unsigned density = chance_.below(70);
        for (unsigned i = 0; i < count; ++i) {
            ModelStep step;
            step.traits.id = "s" + std::to_string(i);
            for (unsigned before = 0; before < i; ++before)
                if (chance_.below(100) < density)
                    step.traits.needs.push_back("s" + std::to_string(before));
            step.traits.scope = static_cast<Scope>(chance_.below(3));
            step.traits.importance =
                chance_.one_in(4) ? Importance::optional : Importance::required;
            step.traits.attempts = 1 + chance_.below(3);
            step.traits.deadline = std::chrono::seconds{60};
            step.person_is_done = !chance_.one_in(12);
            steps_.push_back(std::move(step));
        }
    }

    // Boots and converges a few times with faults, then without; what went against the rules.
    std::string live() {
        const unsigned troubled = 1 + chance_.below(3);
        for (unsigned boot = 0; boot < troubled && broken_.empty(); ++boot) {
            if (chance_.one_in(5))
                instance_ += 1;
            if (chance_.one_in(5))
                steps_[chance_.below(static_cast<unsigned>(steps_.size()))].wanted += 1;
            if (chance_.one_in(8))
                damage_an_entry();
            faults_.any = true;
            faults_.power_lasts =
                chance_.one_in(2) ? std::optional{chance_.below(40)} : std::nullopt;
            faults_.stop_after =
                chance_.one_in(5) ? std::optional{chance_.below(30)} : std::nullopt;
            faults_.disk_is_full = chance_.one_in(12);
            limits_.setup = chance_.one_in(3) ? std::optional{milliseconds{20'000}} : std::nullopt;
            limits_.person = std::chrono::minutes{30};
            converge(chance_.one_in(6) ? "" : std::to_string(instance_));
        }
        faults_ = {};
        limits_ = {};
        for (auto& step : steps_)
            step.person_is_done = true;
        // R3: whatever there was, it converges without anybody's help.
        const auto last = converge(std::to_string(instance_));
        for (const auto& step : last)
            if (step.state != StepState::satisfied && step.state != StepState::applied)
                say(step.id + " is " + std::string{name_of(step.state)} + " in the end");
        // Law 7: then there is nothing to do.
        const unsigned writes = writes_;
        for (const auto& step : converge(std::to_string(instance_)))
            if (step.state != StepState::satisfied)
                say(step.id + " is done again");
        if (writes_ != writes)
            say("a run with nothing to do wrote to the ledger");
        return broken_;
    }

    [[nodiscard]] unsigned runs() const { return runs_; }

private:
    friend class ModelGuarantee;
    friend class ModelCommands;
    friend class ModelStore;

    std::vector<StepProgress> converge(const std::string& instance);
    void check_rules(const Engine& engine, Monotonic began, bool whole);

    void say(const std::string& what) {
        if (broken_.empty())
            broken_ = what;
    }
    // One act of the machine: the power may be cut before it, or somebody asks for a stop.
    void act() {
        if (dark_)
            throw PowerCut{};
        if (faults_.power_lasts && (*faults_.power_lasts)-- == 0) {
            dark_ = true;
            throw PowerCut{};
        }
        if (faults_.stop_after && (*faults_.stop_after)-- == 0)
            stop_.request_stop();
        throw_if_stopped(stop_.get_token());
    }
    bool goes_wrong(unsigned one_in) { return faults_.any && chance_.one_in(one_in); }
    void damage_an_entry() {
        if (disk_.empty())
            return;
        auto entry = disk_.begin();
        std::advance(entry, chance_.below(static_cast<unsigned>(disk_.size())));
        if (chance_.one_in(2))
            entry->second.resize(chance_.below(static_cast<unsigned>(entry->second.size())));
        else
            entry->second = "{\"version\": 2}";
    }

    Chance chance_;
    std::vector<ModelStep> steps_;
    std::map<std::string, std::string> disk_; // the ledger's files
    unsigned instance_ = 1;
    Faults faults_;
    RunLimits limits_;
    bool dark_ = false;
    std::stop_source stop_;
    std::unique_ptr<FakeClock> clock_;
    const Engine* engine_ = nullptr;
    unsigned writes_ = 0;
    unsigned runs_ = 0;
    std::string broken_;
};

class ModelStore : public LedgerStore {
public:
    explicit ModelStore(Model& model) : model_{model} {}
    Result<void> write(const std::string& id, const std::string& content) override {
        model_.act(); // before it, or …
        if (model_.faults_.disk_is_full || model_.goes_wrong(60))
            return permanent("no space left on device", "free some");
        model_.disk_[id] = content;
        ++model_.writes_;
        model_.act(); // … after it
        return {};
    }

private:
    Model& model_;
};

// A program takes its time, or never ends.
class ModelCommands : public CommandRunner {
public:
    explicit ModelCommands(Model& model) : model_{model} {}
    boost::asio::awaitable<Result<CommandOutcome>> run(Command command) override {
        model_.act();
        const bool hangs = model_.goes_wrong(12);
        const milliseconds takes{model_.chance_.below(3000)};
        CommandOutcome outcome;
        outcome.argv = command.argv;
        if (command.deadline <= milliseconds{0})
            model_.say("a command was run without any time");
        if (hangs || takes >= command.deadline) {
            co_await model_.clock_->sleep(command.deadline);
            outcome.status = TimedOut{};
        } else {
            co_await model_.clock_->sleep(takes);
            outcome.status = Exited{0};
        }
        model_.act();
        co_return outcome;
    }

private:
    Model& model_;
};

class ModelGuarantee : public Guarantee {
public:
    ModelGuarantee(Model& model, ModelStep& step) : model_{model}, step_{step} {}

    [[nodiscard]] std::string fingerprint() const override { return std::to_string(step_.wanted); }

    boost::asio::awaitable<Result<StepCheck>> check(StepContext&) override {
        model_.act();
        needs_have_ended();
        if (model_.chance_.one_in(3))
            co_await model_.clock_->sleep(milliseconds{model_.chance_.below(50)});
        if (model_.goes_wrong(40))
            co_return transient("cannot look now");
        if (model_.goes_wrong(120))
            throw std::logic_error{"bug in check"};
        if (!step_.person_is_done && model_.goes_wrong(4))
            step_.person_is_done = true;
        if (!step_.person_is_done)
            co_return waiting_for_person("nobody has added the key", "add it");
        if (step_.made == 0)
            co_return StepCheck::due("not there");
        if (step_.made == half_made)
            co_return StepCheck::due("half of it is there");
        if (step_.made != step_.wanted)
            co_return StepCheck::due("another one is there");
        co_return StepCheck::yes("there");
    }

    boost::asio::awaitable<Result<void>> apply(StepContext& context) override {
        model_.act();
        attempt_is_recorded();
        if (step_.made == step_.wanted && !context.on_new_instance())
            model_.say(step_.traits.id + " is made although it is there");
        step_.made = half_made; // from here on, until it is whole
        Command command;
        command.argv = {"/bin/make"};
        command.deadline = 1h;
        auto outcome = co_await context.run(std::move(command));
        if (!outcome)
            co_return outcome.error();
        if (!outcome->succeeded())
            co_return transient("make did not end in time");
        if (model_.goes_wrong(10))
            co_return transient("no network");
        if (model_.goes_wrong(25))
            co_return permanent("no such thing", "name another");
        if (model_.goes_wrong(120))
            throw std::logic_error{"bug in apply"};
        if (model_.goes_wrong(40))
            co_return Result<void>{}; // it only says so
        step_.made = step_.wanted;
        model_.act();
        co_return Result<void>{};
    }

private:
    void needs_have_ended() {
        for (const auto& progress : model_.engine_->progress())
            for (const auto& need : step_.traits.needs)
                if (progress.id == need && progress.state != StepState::satisfied &&
                    progress.state != StepState::applied)
                    model_.say(step_.traits.id + " was looked at before " + need + " had ended");
    }
    // R7's other half: an attempt is on the disk before anything is changed.
    void attempt_is_recorded() {
        const auto entry = model_.disk_.find(step_.traits.id);
        if (entry == model_.disk_.end() || entry->second.find("\"started\"") == std::string::npos)
            model_.say(step_.traits.id + " is made without its attempt on the disk");
    }

    Model& model_;
    ModelStep& step_;
};

std::vector<StepProgress> Model::converge(const std::string& instance) {
    ++runs_;
    dark_ = false;
    stop_ = {};
    boost::asio::io_context io{1};
    clock_ = std::make_unique<FakeClock>(FakeClock::Advance::by_sleeping, stop_.get_token());
    clock_->wall_jump = std::chrono::hours{24 * (static_cast<int>(chance_.below(20'000)) - 10'000)};
    auto ledger = Ledger::over(std::make_shared<ModelStore>(*this), disk_);
    ModelCommands commands{*this};
    std::vector<Step> steps;
    for (auto& step : steps_) {
        if (faults_.any && step.traits.scope == Scope::boot && step.made != 0)
            step.made = chance_.one_in(2) ? 0 : step.made; // what a reboot takes along
        steps.push_back({step.traits, std::make_unique<ModelGuarantee>(*this, step)});
    }
    Engine engine{{io,
                   commands,
                   *clock_,
                   ledger,
                   instance,
                   [this](const StepProgress&) {
                       if (chance_.one_in(10)) // R8: no wait knows what the clock on the wall says
                           clock_->wall_jump += std::chrono::hours{24 * 365};
                   },
                   [](std::string_view, std::string_view) {},
                   {},
                   {},
                   limits_},
                  std::move(steps)};
    engine_ = &engine;
    const auto began = clock_->now();
    bool whole = true;
    try {
        if (!run_coroutine(io, engine.converge()))
            say("the table was refused");
    } catch (const PowerCut&) {
        whole = false;
    } catch (const Stopped&) {
        whole = false;
        for (const auto& step : engine.progress())
            if (step.state == StepState::failed && step.interrupted)
                say(step.id + " is blamed for the stop");
    }
    check_rules(engine, began, whole);
    return engine.progress();
}

void Model::check_rules(const Engine& engine, Monotonic began, bool whole) {
    for (const auto& step : engine.progress()) {
        const bool ended = step.state == StepState::satisfied || step.state == StepState::applied ||
                           step.state == StepState::failed || step.state == StepState::blocked;
        if (whole && !ended) // R1
            say(step.id + " has not ended: " + std::string{name_of(step.state)});
        if (step.state == StepState::failed && (!step.error || step.error->message.empty())) // R5
            say(step.id + " failed without a word");
        if (step.state == StepState::blocked && !step.reason.starts_with("needs "))
            say(step.id + " is blocked by nobody");
    }
    // R2: a step may take its minute and a last look, a person half an hour; in a row, at worst.
    const auto longest = (61s + limits_.person) * static_cast<int>(steps_.size() + 1);
    if (clock_->now() - began > longest)
        say("the run took too long");
    if (limits_.setup &&
        std::all_of(steps_.begin(),
                    steps_.end(),
                    [](const ModelStep& step) { return step.person_is_done; }) &&
        clock_->now() - began > *limits_.setup +
                                    milliseconds{200} * static_cast<int>(steps_.size()) + 1min +
                                    limits_.person)
        say("the run did not keep to its limit");
    // R7: what the ledger calls done was there when it was recorded.
    for (auto& step : steps_) {
        const auto entry = disk_.find(step.traits.id);
        if (entry == disk_.end() || entry->second.find("\"done\"") == std::string::npos)
            continue;
        const auto as_wanted = "\"fingerprint\":\"" + std::to_string(step.wanted) + "\"";
        if (entry->second.find(as_wanted) == std::string::npos)
            continue; // of an earlier configuration
        if (step.made != step.wanted && step.traits.scope != Scope::boot)
            say(step.traits.id + " is recorded as done and is not there");
    }
}

} // namespace

ModelOutcome run_model(std::uint32_t seed) {
    Model model{seed};
    auto broken = model.live();
    return {model.runs(), std::move(broken)};
}

} // namespace agent::test
