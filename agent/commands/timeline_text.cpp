#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/commands/columns.hpp"
#include "agent/commands/timeline.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace agent {
namespace {

using Doing = Timeline::Doing;
using Row = Timeline::Row;

constexpr std::size_t narrowest = 60;
constexpr std::size_t widest = 160;
constexpr std::size_t longest_id = 28;
constexpr std::size_t wide = 120;
constexpr std::size_t longest_after = 20; // where it is not wide
constexpr std::size_t time_width = 6;

enum class Mark { none, critical, beside, trying_again, held_up, person, failed, going_on };

struct Sign {
    Mark mark;
    std::string_view ascii;
    std::string_view unicode;
    std::string_view colour;
    std::string_view meaning;
};
constexpr std::array<Sign, 8> signs{{
    {Mark::none, " ", " ", "", ""},
    {Mark::critical, "#", "█", "36", "decided how long it took"},
    {Mark::beside, "=", "▒", "2", "went on beside that"},
    {Mark::trying_again, ".", "·", "33", "paused before trying again"},
    {Mark::held_up, "-", "╌", "33", "was held up"},
    {Mark::person, "?", "?", "33", "waited for a person"},
    {Mark::failed, "x", "✗", "1;31", "did not end well"},
    {Mark::going_on, ">", "▸", "36", "goes on"},
}};

const Sign& sign_of(Mark mark) {
    return *std::find_if(signs.begin(), signs.end(), [&](const Sign& s) { return s.mark == mark; });
}

Mark mark_of(const Row& row, Doing doing) {
    switch (doing) {
    case Doing::trying_again:
        return Mark::trying_again;
    case Doing::held_up:
        return Mark::held_up;
    case Doing::person:
        return Mark::person;
    case Doing::working:
        break;
    }
    return row.critical ? Mark::critical : Mark::beside;
}

// Rows as the chart has them: the time before the first step is one as well.
Row row_of_boot(const Timeline& timeline) {
    Row row;
    row.id = "(boot)";
    row.state = "applied";
    row.critical = true;
    row.stretches.push_back({0, timeline.run_began, Doing::working});
    return row;
}

class Chart {
public:
    Chart(const Timeline& timeline, const TimelineView& view) : timeline_{timeline}, view_{view} {
        const std::size_t all = std::clamp(view.columns, narrowest, widest);
        std::size_t after = 0;
        for (const auto& row : timeline.rows) {
            id_width_ = std::max(id_width_, std::min(longest_id, columns(row.id)));
            after = std::max(after,
                             std::min(all < wide ? longest_after : longest_id, columns(row.after)));
        }
        const std::size_t fixed = id_width_ + 2 * (2 + time_width) + 2;
        after_width_ = all >= fixed + 20 + 2 + after ? std::max<std::size_t>(after, 5) : 0;
        bar_width_ = all - fixed - (after_width_ > 0 ? after_width_ + 2 : 0);
        all_ = all;
    }

    std::string text() {
        std::string text = scale();
        text += line(row_of_boot(timeline_));
        for (const auto& row : timeline_.rows) {
            text += line(row);
            for (const auto& note : row.notes)
                text += "  " + clip(printable(note, 600), all_ - 2) + "\n";
        }
        return text + legend();
    }

private:
    [[nodiscard]] std::size_t column_of(double at) const {
        if (timeline_.end <= 0)
            return 0;
        const double column = std::floor(at / timeline_.end * static_cast<double>(bar_width_));
        return std::min(static_cast<std::size_t>(std::max(0.0, column)), bar_width_ - 1);
    }

    std::string scale() {
        const double apart = marks_apart(timeline_.end, std::max<std::size_t>(3, bar_width_ / 8));
        std::string marks(bar_width_, ' ');
        std::size_t free_from = 0;
        const auto last = static_cast<std::size_t>(timeline_.end / apart);
        for (std::size_t mark = 0; mark <= last; ++mark) {
            const double at = apart * static_cast<double>(mark);
            const std::string label = mark_label(at, apart);
            const std::size_t column = column_of(at);
            if (column < free_from || column + label.size() > bar_width_)
                continue;
            marks.replace(column, label.size(), label);
            free_from = column + label.size() + 2;
        }
        return trimmed(pad("STEP", id_width_) + "   START    TOOK  " + marks +
                       (after_width_ > 0 ? "  AFTER" : ""));
    }

    std::string line(const Row& row) {
        const std::string times = row.began()
                                      ? right(in_short(row.start())) + right(in_short(row.took()))
                                      : std::string(2 * (2 + time_width), ' ');
        return trimmed(pad(clip(printable(row.id, 200), id_width_), id_width_) + times + "  " +
                       bar(row) +
                       (after_width_ > 0 && !row.after.empty()
                            ? "  " + clip(printable(row.after, 200), after_width_)
                            : ""));
    }

    std::string bar(const Row& row) {
        std::vector<Mark> cells(bar_width_, Mark::none);
        for (const auto& stretch : row.stretches) {
            const std::size_t first = column_of(stretch.from);
            const std::size_t last =
                stretch.to > stretch.from ? column_of(std::nexttoward(stretch.to, 0.0L)) : first;
            for (std::size_t i = first; i <= last; ++i)
                // A short work beside a long wait shows the wait.
                if (cells[i] == Mark::none || stretch.doing != Doing::working)
                    cells[i] = mark_of(row, stretch.doing);
        }
        if (row.began() && (row.state == "failed" || row.state == "interrupted"))
            cells[column_of(row.end())] = Mark::failed;
        else if (row.state == "running")
            cells[column_of(row.end())] = Mark::going_on;
        std::string text;
        for (std::size_t i = 0; i < cells.size();) {
            std::size_t end = i;
            while (end < cells.size() && cells[end] == cells[i])
                ++end;
            text += painted(cells[i], end - i);
            i = end;
        }
        return text;
    }

    std::string painted(Mark mark, std::size_t count) {
        if (std::find(used_.begin(), used_.end(), mark) == used_.end())
            used_.push_back(mark);
        const Sign& sign = sign_of(mark);
        std::string text;
        for (std::size_t i = 0; i < count; ++i)
            text += view_.letters == Letters::unicode ? sign.unicode : sign.ascii;
        if (view_.colours == Colours::off || sign.colour.empty())
            return text;
        return "\033[" + std::string{sign.colour} + "m" + text + "\033[0m";
    }

    std::string legend() {
        std::vector<std::string> entries;
        for (const auto& sign : signs)
            if (!sign.meaning.empty() &&
                std::find(used_.begin(), used_.end(), sign.mark) != used_.end())
                entries.push_back(
                    std::string{view_.letters == Letters::unicode ? sign.unicode : sign.ascii} +
                    " " + std::string{sign.meaning});
        std::string text = "\n";
        std::string line;
        for (const auto& entry : entries) {
            if (!line.empty() && columns(line) + 3 + columns(entry) > all_) {
                text += line + "\n";
                line.clear();
            }
            line += (line.empty() ? "" : "   ") + entry;
        }
        return text + line + "\n";
    }

    static std::string right(const std::string& time) {
        return "  " + std::string(time_width - std::min(time_width, time.size()), ' ') + time;
    }
    static std::string trimmed(std::string line) {
        line.erase(line.find_last_not_of(' ') + 1);
        return line + "\n";
    }

    const Timeline& timeline_;
    const TimelineView& view_;
    std::size_t id_width_ = 6;
    std::size_t after_width_ = 0; // 0: no such column
    std::size_t bar_width_ = 0;
    std::size_t all_ = narrowest;
    std::vector<Mark> used_;
};

std::string names_of(const Timeline& timeline, std::string_view state) {
    std::string names;
    for (const auto& row : timeline.rows)
        if (row.state == state)
            names += (names.empty() ? "" : ", ") + printable(row.id, 80);
    return names;
}

} // namespace

std::string timeline_title(const Timeline& timeline) {
    std::string text = "boot";
    if (timeline.booted)
        text += " of " + timestamp(*timeline.booted);
    if (!timeline.boot_id.empty())
        text += ", " + printable(timeline.boot_id, 40);
    return text;
}

std::vector<std::string> timeline_totals(const Timeline& timeline) {
    std::vector<std::string> lines;
    if (timeline.jupyter)
        lines.push_back("Jupyter reachable after " + in_short(*timeline.jupyter));
    else if (timeline.has_jupyter)
        lines.push_back("Jupyter not reachable " + std::string{timeline.going_on ? "yet, " : ""} +
                        "after " + in_short(timeline.end));
    if (timeline.everything) {
        lines.push_back("everything installed after " + in_short(*timeline.everything));
    } else {
        std::string why;
        for (const std::string_view state :
             {"failed", "blocked", "interrupted", "waiting", "running"})
            if (const std::string names = names_of(timeline, state); !names.empty())
                why += (why.empty() ? "" : "; ") + std::string{state} + ": " + names;
        lines.push_back("not everything installed" + (why.empty() ? "" : "; " + why));
    }
    if (timeline.later_runs > 0)
        lines.push_back(
            "after that, the steps were run again: " + std::to_string(timeline.later_runs) +
            (timeline.later_runs == 1 ? " time" : " times"));
    return lines;
}

double marks_apart(double end, std::size_t most) {
    constexpr std::array<double, 24> steps{
        0.1, 0.2, 0.5,  1,    2,    5,     10,    15,    30,    60,     120,    300,
        600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000};
    for (const double apart : steps)
        if (end / apart <= static_cast<double>(most))
            return apart;
    return std::max(end, 1.0);
}

std::string mark_label(double at, double apart) {
    std::array<char, 32> text{};
    if (apart < 1)
        std::snprintf(text.data(), text.size(), "%.1f s", at);
    else if (at == 0 || apart < 60)
        std::snprintf(text.data(), text.size(), "%.0f s", at);
    else if (apart < 3600)
        std::snprintf(text.data(), text.size(), "%.0f min", at / 60);
    else
        std::snprintf(text.data(), text.size(), "%.0f h", at / 3600);
    return text.data();
}

std::string render_timeline(const Timeline& timeline, const TimelineView& view) {
    const std::size_t all = std::clamp(view.columns, narrowest, widest);
    std::string text = clip(timeline_title(timeline), all) + "\n";
    for (const auto& line : timeline_totals(timeline))
        text += clip(line, all) + "\n";
    return text + "\n" + Chart{timeline, view}.text();
}

} // namespace agent
