// Owns supervised children in tests: they live in the fake clock's time, record what they were
// started as and every signal, and end when the test says so.
#pragma once

#include "agent/ports/child.hpp"
#include "tests/fakes/fake_clock.hpp"

#include <boost/asio/awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

namespace agent::test {

// What the test knows and decides of the one child.
struct ChildScript {
    using End = std::variant<Exited, Signaled>;

    std::vector<int> signals;
    std::function<void(int)> on_signal;     // after it was recorded; may call end()
    std::function<void(Monotonic)> on_tick; // at every slice of a wait: the test's hand on events
    std::optional<End> ended;

    void end(End how) {
        if (!ended)
            ended = how;
    }
};

class FakeChild final : public Child {
public:
    FakeChild(ChildScript& script, FakeClock& clock) : script_{script}, clock_{clock} {}

    [[nodiscard]] pid_t pid() const override { return 4242; }
    void signal(int number) override {
        if (script_.ended)
            return;
        script_.signals.push_back(number);
        if (script_.on_signal)
            script_.on_signal(number);
    }
    boost::asio::awaitable<std::optional<ChildScript::End>>
    wait(std::chrono::milliseconds longest) override {
        const auto until = clock_.now() + longest;
        while (true) {
            if (script_.on_tick)
                script_.on_tick(clock_.now());
            if (script_.ended || clock_.now() >= until)
                co_return script_.ended;
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock_.now());
            co_await clock_.sleep(std::min(slice, left));
        }
    }

private:
    static constexpr std::chrono::milliseconds slice{100};
    ChildScript& script_;
    FakeClock& clock_;
};

class FakeChildLauncher final : public ChildLauncher {
public:
    explicit FakeChildLauncher(FakeClock& clock) : clock_{clock} {}

    Result<std::unique_ptr<Child>> launch(ChildProgram program) override {
        launched.push_back(std::move(program));
        if (refusal)
            return *refusal;
        return std::unique_ptr<Child>{std::make_unique<FakeChild>(child, clock_)};
    }

    ChildScript child;
    std::vector<ChildProgram> launched;
    std::optional<Error> refusal;

private:
    FakeClock& clock_;
};

} // namespace agent::test
