// Owns what a test of one step needs: the faked world, and running the step's check and apply
// without the engine. Its constructor stands in a source of its own, so that the coroutines of the
// fakes are compiled once and not in every test.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"
#include "tests/fakes/fake_accounts.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/fakes/fake_front_control.hpp"
#include "tests/fakes/fake_services.hpp"
#include "tests/fakes/fake_step_context.hpp"
#include "tests/support/temp_root.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace agent::test {

class StepWorld {
public:
    StepWorld();
    ~StepWorld();
    StepWorld(const StepWorld&) = delete;
    StepWorld& operator=(const StepWorld&) = delete;

    [[nodiscard]] Result<StepCheck> check(Guarantee& guarantee);
    [[nodiscard]] Result<void> apply(Guarantee& guarantee);

    [[nodiscard]] StepPorts ports() { return {root(), accounts, services, clock, front_control}; }
    [[nodiscard]] Root root() const { return directory_.root(); }
    // With its directories.
    void put(std::string_view path, std::string_view content) const;
    [[nodiscard]] std::string content(std::string_view path) const; // empty: none
    [[nodiscard]] bool has(std::string_view path) const;
    [[nodiscard]] mode_t mode(std::string_view path) const;

    FakeClock clock;
    FakeAccounts accounts;
    FakeServices services;
    FakeFrontControl front_control;
    FakeCommands commands;
    FakeStepContext context{commands};

private:
    TempRoot directory_{TempRoot::in_memory()};
};

} // namespace agent::test
