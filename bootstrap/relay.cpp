#include "bootstrap/relay.hpp"

#include "agent/report/status_file.hpp"
#include "agent/report/step_news.hpp"

#include <algorithm>
#include <array>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr std::array<std::string_view, 2> units_on_console{"/google-startup-scripts.service",
                                                           "/cloud-final.service"};

} // namespace

bool output_goes_to_console(const Root& root) {
    const auto groups = read_file(root / "/proc/self/cgroup", 64 * 1024);
    if (!groups || !*groups)
        return false;
    return std::any_of(units_on_console.begin(), units_on_console.end(), [&](auto unit) {
        return (*groups)->find(unit) != std::string::npos;
    });
}

boost::asio::awaitable<int> relay_until_settled(Root root,
                                                Clock& clock,
                                                std::chrono::milliseconds longest,
                                                std::function<void(std::string_view)> tell) {
    const auto boot_id = current_boot_id(root);
    const auto until = clock.now() + longest;
    StepNews news{StepNews::Telling::every_change};
    while (clock.now() < until) {
        const auto reading = read_status(root, boot_id);
        if (reading.status && !reading.stale) {
            for (const auto& line : news.lines(*reading.status))
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
