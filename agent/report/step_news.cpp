#include "agent/report/step_news.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <string_view>

namespace agent {
namespace {

constexpr std::size_t line_limit = 300;

std::string in_seconds(double seconds) {
    std::array<char, 48> text{};
    std::snprintf(text.data(), text.size(), "%.1f s", std::clamp(seconds, 0.0, 1e9));
    return text.data();
}

std::string line_of(const StepStatus& step) {
    std::string line = step.id + ": " + step.state;
    if (step.state == "applied")
        line += " in " + in_seconds(step.seconds);
    if (!step.error.empty())
        line += ": " + step.error;
    else if (!step.reason.empty())
        line += " (" + step.reason + ")";
    return printable(line, line_limit);
}

} // namespace

bool StepNews::is_told(const std::string& state) const {
    if (telling_ == Telling::every_change)
        return true;
    constexpr std::array<std::string_view, 4> ends{"applied", "failed", "blocked", "waiting"};
    return std::find(ends.begin(), ends.end(), state) != ends.end();
}

std::vector<std::string> StepNews::lines(const Status& status) {
    std::vector<std::string> lines;
    for (const auto& step : status.steps) {
        if (step.state == "pending" || last_[step.id] == step.state)
            continue;
        last_[step.id] = step.state;
        if (is_told(step.state))
            lines.push_back(line_of(step));
    }
    return lines;
}

} // namespace agent
