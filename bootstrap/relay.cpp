#include "bootstrap/relay.hpp"

#include "agent/base/text.hpp"
#include "agent/report/status_file.hpp"

#include <cmath>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t line_limit = 300;

} // namespace

std::vector<std::string> StepRelay::lines(const Status& status) {
    std::vector<std::string> lines;
    for (const auto& step : status.steps) {
        if (step.state == "pending" || told_[step.id] == step.state)
            continue;
        told_[step.id] = step.state;
        std::string line = step.id + ": " + step.state;
        if (step.state == "applied")
            line += " (" + std::to_string(std::lround(step.seconds)) + " s)";
        if (!step.error.empty())
            line += ": " + step.error;
        else if (!step.reason.empty() && step.state != "satisfied")
            line += ": " + step.reason;
        lines.push_back(printable(line, line_limit));
    }
    return lines;
}

boost::asio::awaitable<int> relay_until_settled(Root root,
                                                Clock& clock,
                                                std::chrono::milliseconds longest,
                                                std::function<void(std::string_view)> tell) {
    const auto boot_id = current_boot_id(root);
    const auto until = clock.now() + longest;
    StepRelay relay;
    while (clock.now() < until) {
        const auto reading = read_status(root, boot_id);
        if (reading.status && !reading.stale) {
            for (const auto& line : relay.lines(*reading.status))
                tell(line);
            const int exit = exit_status(reading);
            if (exit != 3) {
                tell(reading.status->summary);
                if (reading.status->problem && !reading.status->problem->next.empty())
                    tell("next: " + reading.status->problem->next);
                co_return exit;
            }
        }
        co_await clock.sleep(300ms);
    }
    tell("not settled yet; see `agent status`");
    co_return 3;
}

} // namespace agent
