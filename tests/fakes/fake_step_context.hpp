// Owns what a step is given in tests: commands are scripted, everything said is recorded.
#pragma once

#include "agent/graph/step.hpp"
#include "tests/fakes/fake_commands.hpp"

#include <boost/asio/awaitable.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agent::test {

class FakeStepContext final : public StepContext {
public:
    explicit FakeStepContext(FakeCommands& commands) : commands_{commands} {}

    boost::asio::awaitable<Result<CommandOutcome>> run(Command command) override {
        return commands_.run(std::move(command));
    }
    void log(std::string_view line) override { lines.emplace_back(line); }
    void progress(std::string_view phrase) override { phrases.emplace_back(phrase); }
    void held_up(std::string_view phrase) override {
        phrases.emplace_back(phrase);
        hold_ups.emplace_back(phrase);
    }
    [[nodiscard]] std::optional<std::string> last_fingerprint() const override { return last; }
    [[nodiscard]] bool on_new_instance() const override { return new_instance; }
    [[nodiscard]] bool asked_for() const override { return asked; }

    std::vector<std::string> lines;
    std::vector<std::string> phrases;  // of progress() and of held_up()
    std::vector<std::string> hold_ups; // of held_up() alone
    std::optional<std::string> last;
    bool new_instance = false;
    bool asked = false;

private:
    FakeCommands& commands_;
};

} // namespace agent::test
