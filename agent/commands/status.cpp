#include "agent/commands/status.hpp"

#include "agent/base/boot_time.hpp"
#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/commands/columns.hpp"
#include "agent/commands/reach.hpp"
#include "agent/ports/documents.hpp"
#include "agent/report/status_changes.hpp"
#include "agent/supervise/control_desk.hpp"
#include "agent/supervise/limit_keeper.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr std::size_t width = 80;
constexpr const char* look_at_unit = "see `systemctl status agent`";

// Without control characters, whatever was written into the file.
std::string clean(std::string_view text) {
    return printable(text, 4096);
}

// Whole words on lines that begin with `indent` blanks; a word longer than a line keeps its own
// line, so that an address or a path can be copied.
std::string wrap(std::string_view text, std::size_t indent) {
    std::string wrapped;
    std::string line;
    for (const auto& word : split(text, ' ')) {
        if (word.empty())
            continue;
        if (!line.empty() && indent + columns(line) + 1 + columns(word) > width) {
            wrapped += std::string(indent, ' ') + line + "\n";
            line.clear();
        }
        line += (line.empty() ? "" : " ") + word;
    }
    if (!line.empty())
        wrapped += std::string(indent, ' ') + line + "\n";
    return wrapped;
}

class Paint {
public:
    explicit Paint(Colours colours) : on_{colours == Colours::on} {}
    [[nodiscard]] std::string operator()(std::string_view name, const std::string& text) const {
        const std::string_view colour = code(name);
        if (!on_ || colour.empty())
            return text;
        return "\033[" + std::string{colour} + "m" + text + "\033[0m";
    }

private:
    static std::string_view code(std::string_view name) {
        struct Shade {
            std::string_view name;
            std::string_view code;
        };
        constexpr std::array<Shade, 10> shades{{{"ready", "1;32"},
                                                {"degraded", "1;33"},
                                                {"failed", "1;31"},
                                                {"stale", "1;31"},
                                                {"starting", "1;36"},
                                                {"provisioning", "1;36"},
                                                {"stopping", "1;36"},
                                                {"running", "36"},
                                                {"waiting", "33"},
                                                {"blocked", "33"}}};
        for (const auto& shade : shades)
            if (shade.name == name)
                return shade.code;
        return {};
    }
    bool on_;
};

std::string time_of(const StepStatus& step, WallTime now) {
    // The file is written on changes only, so what still runs is counted from its start.
    if (step.state == "running" && step.started)
        return in_short(std::chrono::duration<double>(now - *step.started).count());
    return step.seconds > 0 ? in_short(step.seconds) : "";
}

bool is_well(const StepStatus& step) {
    return step.state == "satisfied" || step.state == "applied" || step.state == "skipped";
}

std::string lines_of_steps(std::size_t count) {
    return std::to_string(count) + (count == 1 ? " step is" : " steps are") + " well";
}

// At most `rows` lines, as far as what is well can be left out for it: from the top.
std::string table(const Status& status, WallTime now, const Paint& paint, std::size_t rows) {
    constexpr std::size_t longest_id = 28;
    constexpr std::size_t state_width = 9; // "satisfied"
    constexpr std::size_t time_width = 6;
    std::size_t id_width = 4;
    for (const auto& step : status.steps)
        id_width = std::max(id_width, std::min(longest_id, columns(clean(step.id))));
    const std::size_t reason_width = width - id_width - state_width - time_width - 6;

    const auto well =
        static_cast<std::size_t>(std::count_if(status.steps.begin(), status.steps.end(), is_well));
    const std::size_t needed = status.steps.size() + 1;
    // One line more tells how many were left out.
    const std::size_t hidden = needed <= rows ? 0 : std::min(well, needed - rows + 1);

    std::string text = pad("STEP", id_width) + "  STATE        TIME  REASON\n";
    if (hidden > 0)
        text += "(" + lines_of_steps(hidden) + ")\n";
    std::size_t left_out = 0;
    for (const auto& step : status.steps) {
        if (left_out < hidden && is_well(step)) {
            ++left_out;
            continue;
        }
        const std::string time = time_of(step, now);
        const std::string& reason = step.error.empty() ? step.reason : step.error;
        std::string line =
            pad(clip(clean(step.id), id_width), id_width) + "  " +
            paint(step.state, pad(clip(clean(step.state), state_width), state_width)) + "  " +
            std::string(time_width - std::min(time_width, time.size()), ' ') + time + "  " +
            clip(clean(reason), reason_width);
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

std::string problem_text(const Problem& problem) {
    std::string text =
        problem.step.empty() ? "problem:\n" : "problem in " + clean(problem.step) + ":\n";
    text += wrap(clean(problem.message), 2);
    if (!problem.next.empty())
        text += wrap("next: " + clean(problem.next), 2);
    return text;
}

std::string head(const StatusReading& reading, WallTime now, const Paint& paint) {
    const Status& status = *reading.status;
    const std::string state{name_of(status.state)};
    if (reading.stale)
        return paint("stale", "stale") + ": " + clean(reading.why) + "; " + look_at_unit + "\n" +
               "last known state: " + state + ", since " + timestamp(status.since) + "\n";
    std::string text = paint(state, state) + " for " + in_words(now - status.since);
    if (!status.url.empty())
        text += ": " + clean(status.url);
    text += '\n';
    // "ready at URL" has just been said.
    if (status.state != MachineState::ready || status.url.empty())
        text += wrap(clean(status.summary), 0);
    if (!status.certificate_sha256.empty())
        text += "certificate " + clean(status.certificate_sha256) + "\n";
    return text;
}

// Empty when nobody holds the machine.
std::string hold_line(const Root& root, WallTime now) {
    const auto hold = read_hold(root);
    const auto running = since_boot();
    const auto term = hold ? hold->at(running) : std::nullopt;
    if (!term)
        return "";
    // By the clock of now, which may have been set since.
    const auto until = now + std::chrono::duration_cast<WallTime::duration>(term->until - running);
    return "\nheld up until " + clock_face(until, now) + " by " + term->by + "\n";
}

// Empty when the machine is not going to stop, or the problem says so already.
std::string stop_line(const Root& root, const StatusReading& reading, WallTime now) {
    const auto stop = read_planned_stop(root);
    if (!stop || !*stop || reading.stale || !reading.status)
        return "";
    const std::string brief = in_brief(**stop, now);
    const auto& problem = reading.status->problem;
    if (problem && problem->next.find(brief) != std::string::npos)
        return "";
    return "\n" + wrap(with_remedy(**stop, now), 0);
}

SettleWatch::Verdict wait_until_settled(const Root& root,
                                        const std::string& boot_id,
                                        std::optional<std::chrono::milliseconds> timeout,
                                        StatusReading& reading) {
    SettleWatch watch{std::chrono::steady_clock::now(), timeout};
    StatusChanges changes{root};
    while (true) {
        reading = read_status(root, boot_id);
        const auto now = std::chrono::steady_clock::now();
        const auto verdict = watch.observe(reading, now);
        if (verdict != SettleWatch::Verdict::wait)
            return verdict;
        pollfd change{changes.fd(), POLLIN, 0};
        const auto longest = watch.time_left(now, changes.longest_wait());
        ::poll(&change, 1, static_cast<int>(longest.count()));
        changes.look();
    }
}

} // namespace

std::string in_words(std::chrono::system_clock::duration passed) {
    const long long all =
        std::max<long long>(0, std::chrono::floor<std::chrono::seconds>(passed).count());
    if (all < 60)
        return std::to_string(all) + " s";
    if (all < 3600)
        return std::to_string(all / 60) + " min";
    if (all < 86400)
        return std::to_string(all / 3600) + " h " + std::to_string(all / 60 % 60) + " min";
    return std::to_string(all / 86400) + " d " + std::to_string(all / 3600 % 24) + " h";
}

std::chrono::milliseconds SettleWatch::time_left(Monotonic now,
                                                 std::chrono::milliseconds longest) const {
    if (!timeout_)
        return longest;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*timeout_ - (now - began_));
    return std::clamp(left, std::chrono::milliseconds{0}, longest);
}

SettleWatch::Verdict SettleWatch::observe(const StatusReading& reading, Monotonic now) {
    if (!reading.stale && is_settled(reading.status->state))
        return Verdict::settled;
    if (!reading.stale)
        absent_since_.reset();
    else if (!absent_since_)
        absent_since_ = now;
    if (absent_since_ && now - *absent_since_ >= absence)
        return Verdict::gone;
    if (timeout_ && now - began_ >= *timeout_)
        return Verdict::late;
    return Verdict::wait;
}

Status trustworthy(const StatusReading& reading) {
    if (!reading.stale && reading.status)
        return *reading.status;
    Status status = reading.status.value_or(Status{});
    status.state = MachineState::failed;
    status.summary = reading.why;
    status.url.clear();
    status.problem = Problem{.step = "",
                             .kind = std::string{name_of(ErrorKind::transient)},
                             .message = reading.why,
                             .next = look_at_unit};
    return status;
}

std::string render_status(const StatusReading& reading, WallTime now, const StatusView& view) {
    const Paint paint{view.colours};
    if (!reading.status)
        return wrap(clean(reading.why) + "; " + look_at_unit, 0);
    std::string text = head(reading, now, paint);
    if (reading.status->problem)
        text += "\n" + problem_text(*reading.status->problem);
    if (!reading.status->steps.empty()) {
        const auto taken = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
        const std::size_t left = view.rows - std::min(view.rows, taken);
        text += "\n" + table(*reading.status, now, paint, left);
    }
    if (view.machine && !reading.stale && !reading.status->url.empty())
        if (const std::string advice = reach_advice(*view.machine); !advice.empty())
            text += "\n" + advice;
    return text;
}

std::string
status_text(const Root& root, const StatusReading& reading, WallTime now, const StatusView& view) {
    return render_status(within_boot(reading, now, since_boot()), now, view) +
           hold_line(root, now) + stop_line(root, reading, now);
}

StatusReading
within_boot(StatusReading reading, WallTime now, std::chrono::nanoseconds since_boot) {
    if (reading.stale || !reading.status)
        return reading;
    const auto boot = now - std::chrono::duration_cast<WallTime::duration>(since_boot);
    Status& status = *reading.status;
    status.since = std::clamp(status.since, boot, now);
    for (auto& step : status.steps)
        if (step.started)
            step.started = std::clamp(*step.started, boot, now);
    return reading;
}

int status_command(const StatusOptions& options, const Root& root, std::ostream& out) {
    const std::string boot_id = current_boot_id(root);
    StatusReading reading;
    auto verdict = SettleWatch::Verdict::settled;
    if (options.wait)
        verdict = wait_until_settled(root, boot_id, options.timeout, reading);
    else
        reading = read_status(root, boot_id);

    if (options.json) {
        out << write_json(to_value(trustworthy(reading))) << '\n';
    } else {
        StatusView view;
        view.colours = is_coloured_terminal(out) ? Colours::on : Colours::off;
        view.machine = read_machine_card(root);
        out << status_text(root, reading, std::chrono::system_clock::now(), view);
        if (verdict == SettleWatch::Verdict::late)
            out << "\nnot settled within " << in_words(*options.timeout) << '\n';
    }
    out.flush();
    return exit_status(reading);
}

} // namespace agent
