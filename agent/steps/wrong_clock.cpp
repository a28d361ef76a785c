#include "agent/steps/wrong_clock.hpp"

#include "agent/base/timestamp.hpp"

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;
constexpr auto interval = 1s;

} // namespace

std::string clock_complaint(const Clock& clock) {
    const auto shown = clock.wall();
    if (shown >= clock.earliest())
        return {};
    return "the clock is wrong: it says " + timestamp(shown);
}

boost::asio::awaitable<void> await_right_clock(StepContext& context, Clock& clock) {
    const std::string complaint = clock_complaint(clock);
    if (complaint.empty())
        co_return;
    context.held_up(complaint + "; waiting for it to be set");
    const auto until = clock.now() + patience;
    while (!clock_complaint(clock).empty()) {
        if (clock.now() >= until) {
            context.progress(complaint + "; going on without waiting any longer");
            co_return;
        }
        co_await clock.sleep(interval);
    }
    context.progress("the clock has been set");
}

} // namespace agent
