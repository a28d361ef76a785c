#include "agent/report/timeline_events.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"

#include <cmath>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::size_t longest_why = 300;
constexpr std::size_t longest_name = 128;

std::optional<double> number(const Value* value) {
    if (!value)
        return std::nullopt;
    if (value->as_integer())
        return static_cast<double>(*value->as_integer());
    const auto* real = std::get_if<double>(&value->data);
    return real && std::isfinite(*real) ? std::optional{*real} : std::nullopt;
}

Value needs_value(const std::vector<TimelineEvent::StepNeeds>& steps) {
    Value::Array array;
    for (const auto& step : steps) {
        Value::Array needs;
        for (const auto& need : step.needs)
            needs.emplace_back(printable(need, longest_name));
        array.emplace_back(Value::Object{{"id", printable(step.id, longest_name), {}},
                                         {"needs", std::move(needs), {}}});
    }
    return array;
}

std::vector<TimelineEvent::StepNeeds> needs_of(const Value::Array& array) {
    std::vector<TimelineEvent::StepNeeds> steps;
    for (const auto& one : array) {
        TimelineEvent::StepNeeds step;
        step.id = printable(one.string_or("id", ""), longest_name);
        const Value* needs = one.find("needs");
        if (needs && needs->as_array())
            for (const auto& need : *needs->as_array())
                if (need.as_string())
                    step.needs.push_back(printable(*need.as_string(), longest_name));
        if (!step.id.empty())
            steps.push_back(std::move(step));
    }
    return steps;
}

} // namespace

std::string to_line(const TimelineEvent& event) {
    Value::Object object;
    const auto add = [&](std::string key, Value value) {
        object.push_back({std::move(key), std::move(value), {}});
    };
    const auto add_text = [&](std::string key, const std::string& text, std::size_t longest) {
        if (!text.empty())
            add(std::move(key), printable(text, longest));
    };
    add("at", std::round(event.at * 1000) / 1000);
    switch (event.kind) {
    case TimelineEvent::Kind::boot:
        add("boot", printable(event.boot_id, longest_name));
        if (event.wall)
            add("wall", timestamp(*event.wall));
        break;
    case TimelineEvent::Kind::machine:
        add("machine", event.state);
        break;
    case TimelineEvent::Kind::run:
        add("run", needs_value(event.steps));
        break;
    case TimelineEvent::Kind::step:
        add("step", printable(event.step, longest_name));
        add("state", event.state);
        add_text("doing", event.doing, longest_name);
        add_text("why", event.why, longest_why);
        break;
    }
    return write_json(object);
}

std::optional<TimelineEvent> timeline_event(std::string_view line) {
    const auto value = parse_json(line);
    if (!value)
        return std::nullopt;
    TimelineEvent event;
    const auto at = number(value->find("at"));
    if (!at || *at < 0)
        return std::nullopt;
    event.at = *at;
    using Kind = TimelineEvent::Kind;
    if (const Value* run = value->find("run"); run && run->as_array()) {
        event.kind = Kind::run;
        event.steps = needs_of(*run->as_array());
    } else if (std::string boot = value->string_or("boot", ""); !boot.empty()) {
        event.kind = Kind::boot;
        event.boot_id = printable(boot, longest_name);
        event.wall = parse_timestamp(value->string_or("wall", ""));
    } else if (std::string machine = value->string_or("machine", ""); !machine.empty()) {
        event.kind = Kind::machine;
        event.state = printable(machine, longest_name);
    } else if (std::string step = value->string_or("step", ""); !step.empty()) {
        event.step = printable(step, longest_name);
        event.state = printable(value->string_or("state", ""), longest_name);
        event.doing = printable(value->string_or("doing", ""), longest_name);
        event.why = printable(value->string_or("why", ""), longest_why);
    } else {
        return std::nullopt;
    }
    return event;
}

std::vector<TimelineEvent> timeline_events(std::string_view lines) {
    std::vector<TimelineEvent> events;
    for (const auto& line : split(lines, '\n'))
        if (auto event = timeline_event(line))
            events.push_back(std::move(*event));
    return events;
}

void TimelineFile::append(const std::string& line) const {
    const UniqueFd fd{::open((root_ / layout::timeline_file).c_str(),
                             O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                             0644)};
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0 ||
        static_cast<std::size_t>(status.st_size) + line.size() >= largest)
        return;
    const std::string text = line + "\n";
    [[maybe_unused]] const auto written = ::write(fd.get(), text.data(), text.size());
}

Result<std::vector<TimelineEvent>> read_timeline(const Root& root) {
    auto text = read_file(root / layout::timeline_file, TimelineFile::largest);
    if (!text)
        return context(text.error(), "reading this boot's timeline");
    return *text ? timeline_events(**text) : std::vector<TimelineEvent>{};
}

bool TimelineNews::is_news(const TimelineEvent& step) {
    Told now{step.state, step.doing, {}};
    if (step.state == "waiting" || step.doing == "held_up" || step.doing == "trying_again")
        now.why = step.why;
    Told& told = told_[step.step];
    if (told == now)
        return false;
    told = std::move(now);
    return true;
}

} // namespace agent
