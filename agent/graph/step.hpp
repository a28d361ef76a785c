// Owns the vocabulary of a step: one state of the VM that we guarantee. Knows steps, not which
// steps.
#pragma once

#include "agent/base/error.hpp"
#include "agent/ports/command.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

// What a new VM born from an image of this disk must redo.
enum class Scope {
    image,    // survives: packages
    instance, // redone when instance/id is known and is not the one in the ledger: keys,
              // certificate
    boot,     // of each boot: running units
};

enum class Importance { required, optional };

struct StepTraits {
    std::string id;
    std::vector<std::string> needs;
    Scope scope = Scope::image;
    Importance importance = Importance::required;
    // For its commands and retries in one run; whatever else it waits for has a deadline of its
    // own.
    std::chrono::seconds deadline{600};
    unsigned attempts = 5; // of apply() in one run, when its failures are transient
};

// What a step may do to the world, and what it is told of its past.
class StepContext {
public:
    virtual ~StepContext() = default;
    // As CommandRunner::run, with the step's remaining time as the longest deadline; without an
    // on_line of its own the command's output goes to the step's log.
    virtual boost::asio::awaitable<Result<CommandOutcome>> run(Command command) = 0;
    // A line for the step's log alone.
    virtual void log(std::string_view line) = 0;
    // What it is doing now, one short phrase; shown to people at once.
    virtual void progress(std::string_view phrase) = 0;
    // The same, of something that it waits for and cannot hasten: somebody's lock, the clock.
    // Until the next progress().
    virtual void held_up(std::string_view phrase) = 0;
    // The inputs of the last success, when the ledger knows one.
    [[nodiscard]] virtual std::optional<std::string> last_fingerprint() const = 0;
    // The disk was last provisioned on another instance: what is of the instance is to be made
    // anew.
    [[nodiscard]] virtual bool on_new_instance() const = 0;
    // A person asked for this very run (`agent retry`): what differs from a pin may be changed.
    [[nodiscard]] virtual bool asked_for() const = 0;
};

struct StepCheck {
    bool satisfied = false;
    std::string reason; // why it is due, or what was found

    static StepCheck yes(std::string found = {}) { return {true, std::move(found)}; }
    static StepCheck due(std::string why) { return {false, std::move(why)}; }
};

// The state itself: how to see it, how to make it. A failing check() is an Error; "not so" is no
// failure. An Error of kind waiting from either is none as well: the step is looked at again, and
// made again where it is still due, until a person has done what it says.
class Guarantee {
public:
    virtual ~Guarantee() = default;
    // Changes whenever the inputs change; never a secret itself (hash it).
    [[nodiscard]] virtual std::string fingerprint() const = 0;
    // Reads reality; changes nothing.
    virtual boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) = 0;
    // Makes it so; safe to repeat after a crash at any instruction.
    virtual boost::asio::awaitable<Result<void>> apply(StepContext& context) = 0;
};

struct Step {
    StepTraits traits;
    std::unique_ptr<Guarantee> guarantee;
};

enum class StepState { pending, running, waiting, satisfied, applied, failed, blocked, skipped };
[[nodiscard]] std::string_view name_of(StepState state);

} // namespace agent
