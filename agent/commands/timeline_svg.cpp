#include "agent/base/markup.hpp"
#include "agent/base/text.hpp"
#include "agent/commands/columns.hpp"
#include "agent/commands/timeline.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <map>
#include <string_view>

namespace agent {
namespace {

using Doing = Timeline::Doing;
using Row = Timeline::Row;

// In pixels. A column of text is reckoned a little wider than system fonts draw it.
constexpr double column_width = 6.9;
constexpr double bold_column_width = 7.9;
constexpr double small_column_width = 6.1;
constexpr double all_width = 1200;
constexpr double margin = 24;
constexpr double gap = 10;
constexpr double row_height = 26;
constexpr double note_height = 17;
constexpr double bar_height = 14;
constexpr double least_bar = 2;
constexpr std::size_t longest_id = 30;
constexpr std::size_t longest_beside = 44;
constexpr std::size_t most_marks = 10;

constexpr std::string_view style = R"(
  svg { --paper: #ffffff; --ink: #1f2328; --pale: #656d76; --line: #d8dee4; --band: #f6f8fa;
        --way: #0969da; --beside: #8cb4e8; --held: #d4a72c; --again: #e16f24; --person: #8250df;
        --bad: #cf222e; --good: #1a7f37; }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #e6edf3; --pale: #8d96a0; --line: #30363d; --band: #161b22;
          --way: #4493f8; --beside: #2b5a94; --held: #bb8009; --again: #db6d28; --person: #a371f7;
          --bad: #f85149; --good: #3fb950; }
  }
  text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
         fill: var(--ink); }
  .title { font-size: 16px; font-weight: 600; }
  .pale, .note { fill: var(--pale); }
  .note { font-size: 11px; }
  .above { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
  .bad-text { fill: var(--bad); }
  .good-text { fill: var(--good); }
  .on-way { font-weight: 600; }
  .paper { fill: var(--paper); } .band { fill: var(--band); }
  .grid { stroke: var(--line); }
  .wait { stroke: var(--pale); stroke-dasharray: 1 3; }
  .need { stroke: var(--pale); fill: none; opacity: .55; }
  .need.on-way { stroke: var(--way); opacity: 1; stroke-width: 1.5; }
  .goal { stroke: var(--good); stroke-dasharray: 4 3; }
  .way { fill: var(--way); } .beside { fill: var(--beside); } .held { fill: var(--held); }
  .again { fill: var(--again); } .person { fill: var(--person); } .bad { fill: var(--bad); }
)";

std::string escaped(std::string_view text) {
    return as_markup(printable(text, 1000));
}

std::string number(double value) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.1f", value);
    return text.data();
}

struct Kind {
    std::string_view name;
    std::string_view meaning;
};
constexpr std::array<Kind, 6> kinds{{{"way", "decided how long it took"},
                                     {"beside", "went on beside that"},
                                     {"held", "was held up"},
                                     {"again", "paused before trying again"},
                                     {"person", "waited for a person"},
                                     {"bad", "did not end well"}}};

std::string_view kind_of(const Row& row, const Timeline::Stretch& stretch, bool is_last) {
    switch (stretch.doing) {
    case Doing::trying_again:
        return "again";
    case Doing::held_up:
        return "held";
    case Doing::person:
        return "person";
    case Doing::working:
        break;
    }
    if (is_last && (row.state == "failed" || row.state == "interrupted"))
        return "bad";
    return row.critical ? "way" : "beside";
}

// "4.7s, after python, 2 tries more"
std::string beside_text(const Row& row) {
    if (!row.began())
        return row.state;
    std::string text = in_short(row.took());
    if (row.state != "applied" && row.state != "satisfied")
        text += ", " + row.state;
    if (!row.after.empty())
        text += ", after " + row.after;
    if (row.retries > 0)
        text +=
            ", tried again" + (row.retries > 1 ? " " + std::to_string(row.retries) + " times" : "");
    return clip(printable(text, 400), longest_beside);
}

std::string class_of_text(const Row& row) {
    const bool is_bad =
        row.state == "failed" || row.state == "interrupted" || row.state == "blocked";
    return is_bad ? " bad-text" : "";
}

class Picture {
public:
    explicit Picture(const Timeline& timeline) : timeline_{timeline} {
        Row boot;
        boot.id = "(boot)";
        boot.state = "applied";
        boot.critical = true;
        boot.stretches.push_back({0, timeline.run_began, Doing::working});
        rows_.push_back(std::move(boot));
        rows_.insert(rows_.end(), timeline.rows.begin(), timeline.rows.end());
        std::size_t id = 6;
        std::size_t beside = 6;
        for (const auto& row : rows_) {
            id = std::max(id, std::min(longest_id, columns(printable(row.id, 200))));
            beside = std::max(beside, columns(beside_text(row)));
        }
        left_ = margin + static_cast<double>(id) * bold_column_width + gap;
        right_ = all_width - margin - static_cast<double>(beside) * column_width - gap;
    }

    std::string text() {
        const auto totals = timeline_totals(timeline_);
        double y = margin + 12;
        add_text(margin, y, "title", timeline_title(timeline_));
        for (const auto& line : totals) {
            y += 20;
            const bool is_bad = line.starts_with("not ") || line.starts_with("Jupyter not");
            add_text(margin, y, is_bad ? "bad-text" : "", clip(line, 150));
        }
        y += 18;
        goals_at_ = y;
        y += goals() * 16 + 16;
        top_ = y + 8;
        place_rows();
        goal_lines();
        scale(y);
        wait_lines();
        for (const auto& row : rows_)
            bar(row);
        legend();
        return head() + body_ + "</svg>\n";
    }

private:
    [[nodiscard]] double x_of(double at) const {
        return timeline_.end <= 0 ? left_ : left_ + (right_ - left_) * at / timeline_.end;
    }

    void place_rows() {
        double y = top_;
        for (std::size_t i = 0; i < rows_.size(); ++i) {
            const double height =
                row_height + note_height * static_cast<double>(rows_[i].notes.size());
            if (i % 2 == 1)
                body_ += "<rect class=\"band\" x=\"" + number(margin - 8) + "\" y=\"" + number(y) +
                         "\" width=\"" + number(all_width - 2 * margin + 16) + "\" height=\"" +
                         number(height) + "\" rx=\"4\"/>\n";
            y_of_[rows_[i].id] = y + row_height / 2;
            y += height;
        }
        bottom_ = y;
    }

    void scale(double y) {
        const double apart = marks_apart(timeline_.end, most_marks);
        for (unsigned i = 0; i * apart <= timeline_.end; ++i) {
            const double x = x_of(i * apart);
            line("grid", x, top_ - 4, x, bottom_);
            add_text(x, y, "pale above", mark_label(i * apart, apart), "middle");
        }
    }

    // In the row from when steps could begin until it did; down to it from what it waited for.
    void wait_lines() {
        for (const auto& row : timeline_.rows) {
            const double y = y_of_[row.id];
            if (!row.began() || row.after.empty())
                continue;
            line("wait", x_of(timeline_.run_began), y, x_of(row.start()), y);
            const auto from = y_of_.find(row.after);
            if (from == y_of_.end())
                continue;
            const bool is_way = row.critical && is_critical(row.after);
            line(is_way ? "need on-way" : "need",
                 x_of(row.start()),
                 from->second,
                 x_of(row.start()),
                 y);
        }
    }

    [[nodiscard]] bool is_critical(const std::string& id) const {
        return std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) {
            return row.id == id && row.critical;
        });
    }

    void bar(const Row& row) {
        const double y = y_of_[row.id];
        const std::string id = clip(printable(row.id, 200), longest_id);
        add_text(
            left_ - gap, y + 4, (row.critical ? "on-way" : "") + class_of_text(row), id, "end");
        body_ += "<g><title>" + escaped(tooltip(row)) + "</title>\n";
        for (std::size_t i = 0; i < row.stretches.size(); ++i) {
            const auto& stretch = row.stretches[i];
            const double x = x_of(stretch.from);
            const double width = std::max(least_bar, x_of(stretch.to) - x);
            const auto kind = kind_of(row, stretch, i + 1 == row.stretches.size());
            used_[std::string{kind}] = true;
            body_ += "<rect class=\"" + std::string{kind} + "\" x=\"" + number(x) + "\" y=\"" +
                     number(y - bar_height / 2) + "\" width=\"" + number(width) + "\" height=\"" +
                     number(bar_height) + "\" rx=\"" + (width > 4 ? "2" : "0") + "\"/>\n";
        }
        body_ += "</g>\n";
        const double after_bar = row.began()
                                     ? std::max(x_of(row.end()), x_of(row.start()) + least_bar)
                                     : x_of(timeline_.run_began);
        add_text(after_bar + 6, y + 4, "pale above" + class_of_text(row), beside_text(row));
        double note = y + row_height / 2 + 10;
        const auto room =
            static_cast<std::size_t>((all_width - margin - left_) / small_column_width);
        for (const auto& text : row.notes) {
            add_text(left_, note, "note above", clip(printable(text, 400), room));
            note += note_height;
        }
    }

    static std::string tooltip(const Row& row) {
        std::string text = row.id + ": " + row.state;
        if (row.began())
            text += ", from " + in_short(row.start()) + " to " + in_short(row.end()) + ", took " +
                    in_short(row.took());
        if (!row.needs.empty())
            text += "; needs " + join(row.needs, ", ");
        for (const auto& note : row.notes)
            text += "; " + note;
        return text;
    }

    // One lane each, so that their names never meet.
    struct Goal {
        double at;
        std::string name;
    };
    [[nodiscard]] std::vector<Goal> goals_of() const {
        std::vector<Goal> goals;
        if (timeline_.jupyter)
            goals.push_back({*timeline_.jupyter, "Jupyter reachable"});
        if (timeline_.everything)
            goals.push_back({*timeline_.everything, "everything installed"});
        if (goals.size() == 2 && goals[0].at == goals[1].at)
            return {{goals[0].at, "Jupyter reachable, everything installed"}};
        return goals;
    }
    [[nodiscard]] double goals() const { return static_cast<double>(goals_of().size()); }
    void goal_lines() {
        double y = goals_at_ + 4;
        for (const auto& goal : goals_of()) {
            const double x = x_of(goal.at);
            const std::string name = goal.name + " " + in_short(goal.at);
            const bool is_far = x - static_cast<double>(columns(name)) * column_width < margin;
            line("goal", x, y - 8, x, bottom_);
            add_text(is_far ? x + 6 : x - 6, y, "good-text", name, is_far ? "start" : "end");
            y += 16;
        }
    }

    void legend() {
        double x = left_;
        const double y = bottom_ + 24;
        for (const auto& kind : kinds) {
            if (!used_.contains(std::string{kind.name}))
                continue;
            body_ += "<rect class=\"" + std::string{kind.name} + "\" x=\"" + number(x) + "\" y=\"" +
                     number(y - 9) + "\" width=\"10\" height=\"10\" rx=\"2\"/>\n";
            add_text(x + 16, y, "pale", std::string{kind.meaning});
            x += 16 + static_cast<double>(kind.meaning.size()) * column_width + 18;
        }
        height_ = y + margin;
    }

    void line(std::string_view name, double x1, double y1, double x2, double y2) {
        body_ += "<line class=\"" + std::string{name} + "\" x1=\"" + number(x1) + "\" y1=\"" +
                 number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) + "\"/>\n";
    }
    void add_text(double x,
                  double y,
                  const std::string& name,
                  const std::string& text,
                  std::string_view anchor = "start") {
        body_ += "<text class=\"" + name + "\" x=\"" + number(x) + "\" y=\"" + number(y) + "\"";
        if (anchor != "start")
            body_ += " text-anchor=\"" + std::string{anchor} + "\"";
        body_ += ">" + escaped(text) + "</text>\n";
    }

    [[nodiscard]] std::string head() const {
        const std::string width = number(all_width);
        const std::string height = number(height_);
        return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" +
               width + "\" height=\"" + height + "\" viewBox=\"0 0 " + width + " " + height +
               "\" role=\"img\">\n<title>" + escaped(timeline_title(timeline_)) +
               "</title>\n<style>" + std::string{style} +
               "</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n";
    }

    const Timeline& timeline_;
    std::vector<Row> rows_;
    std::map<std::string, double> y_of_; // a row's middle
    std::map<std::string, bool> used_;
    std::string body_;
    double left_ = 0;
    double right_ = 0;
    double top_ = 0;
    double bottom_ = 0;
    double goals_at_ = 0;
    double height_ = 0;
};

} // namespace

std::string render_timeline_svg(const Timeline& timeline) {
    return Picture{timeline}.text();
}

} // namespace agent
