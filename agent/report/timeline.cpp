#include "agent/report/timeline.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace agent {
namespace {

using Row = Timeline::Row;

constexpr std::size_t most_notes = 4;
constexpr double at_once = 0.005; // what begins when another ends is told that much later at most

bool is_end(const std::string& state) {
    return state != "pending" && state != "running" && state != "waiting";
}

void add_note(Row& row, const std::string& note) {
    const bool known = std::find(row.notes.begin(), row.notes.end(), note) != row.notes.end();
    if (!note.empty() && !known && row.notes.size() < most_notes)
        row.notes.push_back(note);
}

class Maker {
public:
    void take(const TimelineEvent& event) {
        last_ = std::max(last_, event.at);
        switch (event.kind) {
        case TimelineEvent::Kind::boot:
            return take_boot(event);
        case TimelineEvent::Kind::machine:
            return take_machine(event);
        case TimelineEvent::Kind::run:
            return take_run(event);
        case TimelineEvent::Kind::step:
            if (!settled_)
                take_step(event);
        }
    }

    std::optional<Timeline> finish(std::optional<double> now) {
        if (!has_run_)
            return std::nullopt;
        timeline_.going_on = now && !settled_ && !open_.empty();
        for (const std::size_t index : open_) {
            Row& row = timeline_.rows[index];
            row.stretches.back().to = std::max(row.stretches.back().from, now.value_or(last_));
            if (!now)
                row.state = "interrupted";
        }
        timeline_.end = timeline_.run_began;
        for (const auto& row : timeline_.rows)
            timeline_.end = std::max(timeline_.end, row.end());
        tell_waits();
        mark_way();
        tell_totals();
        std::stable_sort(
            timeline_.rows.begin(), timeline_.rows.end(), [](const Row& a, const Row& b) {
                return a.began() != b.began() ? a.began() : a.start() < b.start();
            });
        return std::move(timeline_);
    }

private:
    struct Rerun { // of a step that had ended well
        std::string state;
        std::size_t stretches = 0;
    };

    void take_boot(const TimelineEvent& event) {
        if (timeline_.boot_id.empty()) {
            timeline_.boot_id = event.boot_id;
            timeline_.agent_began = event.at;
            if (event.wall)
                timeline_.booted =
                    *event.wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                      std::chrono::duration<double>{event.at});
        }
        interrupt(event.at);
    }

    void take_machine(const TimelineEvent& event) {
        timeline_.machine = event.state;
        if (event.state == "stopping")
            interrupt(event.at);
        settled_ = settled_ || event.state == "ready";
    }

    void take_run(const TimelineEvent& event) {
        if (settled_) {
            ++timeline_.later_runs;
            return;
        }
        interrupt(event.at);
        if (!std::exchange(has_run_, true))
            timeline_.run_began = event.at;
        for (const auto& step : event.steps)
            row_of(step.id).needs = step.needs;
    }

    void take_step(const TimelineEvent& event) {
        has_run_ = true;
        const std::size_t index = index_of(event.step);
        Row& row = timeline_.rows[index];
        if (open_.erase(index) > 0)
            row.stretches.back().to = std::max(row.stretches.back().from, event.at);
        const bool was_well = row.is_well();
        if (!is_end(event.state) && was_well)
            reruns_[index] = {row.state, row.stretches.size()};
        row.state = event.state;
        if (is_end(event.state)) {
            end_step(index, event);
            return;
        }
        if (event.state == "pending")
            return;
        row.stretches.push_back({event.at, event.at, doing_of(event)});
        open_.insert(index);
        if (row.stretches.back().doing == Timeline::Doing::trying_again)
            ++row.retries;
        if (row.stretches.back().doing != Timeline::Doing::working)
            add_note(row, event.why);
    }

    void end_step(std::size_t index, const TimelineEvent& event) {
        Row& row = timeline_.rows[index];
        const auto rerun = reruns_.find(index);
        if (rerun != reruns_.end()) {
            // A look at what was done already says nothing about this boot's length.
            if (event.state == "satisfied") {
                row.stretches.resize(std::min(row.stretches.size(), rerun->second.stretches));
                row.state = rerun->second.state;
            }
            reruns_.erase(rerun);
        }
        if (event.state == "failed" || event.state == "blocked")
            add_note(row, event.state + ": " + event.why);
    }

    static Timeline::Doing doing_of(const TimelineEvent& event) {
        using enum Timeline::Doing;
        if (event.state == "waiting")
            return person;
        if (event.doing == "trying_again")
            return trying_again;
        return event.doing == "held_up" ? held_up : working;
    }

    // Whatever is under way was not seen to end.
    void interrupt(double at) {
        for (const std::size_t index : open_) {
            Row& row = timeline_.rows[index];
            row.stretches.back().to = std::max(row.stretches.back().from, at);
            row.state = "interrupted";
        }
        open_.clear();
        reruns_.clear();
    }

    std::size_t index_of(const std::string& id) {
        const auto [found, is_new] = index_of_.emplace(id, timeline_.rows.size());
        if (is_new) {
            timeline_.rows.emplace_back();
            timeline_.rows.back().id = id;
            timeline_.rows.back().state = "pending";
        }
        return found->second;
    }
    Row& row_of(const std::string& id) { return timeline_.rows[index_of(id)]; }

    void tell_waits() {
        for (auto& row : timeline_.rows) {
            std::optional<double> latest;
            for (const auto& need : row.needs) {
                const auto found = index_of_.find(need);
                if (!row.began() || found == index_of_.end())
                    continue;
                for (const auto& stretch : timeline_.rows[found->second].stretches)
                    if (stretch.to <= row.start() + at_once && stretch.to >= latest.value_or(0)) {
                        latest = stretch.to;
                        row.after = need;
                    }
            }
        }
    }

    // Backwards from Jupyter's being reachable; without it from what ended last.
    void mark_way() {
        Row* row = nullptr;
        for (auto& one : timeline_.rows)
            if (one.began() && (!row || one.end() > row->end()))
                row = &one;
        if (const auto ready = index_of_.find("ready");
            ready != index_of_.end() && timeline_.rows[ready->second].is_well())
            row = &timeline_.rows[ready->second];
        while (row && !row->critical) {
            row->critical = true;
            const auto before = index_of_.find(row->after);
            row = before == index_of_.end() ? nullptr : &timeline_.rows[before->second];
        }
    }

    void tell_totals() {
        const auto ready = index_of_.find("ready");
        timeline_.has_jupyter = ready != index_of_.end();
        if (timeline_.has_jupyter && timeline_.rows[ready->second].is_well())
            timeline_.jupyter = timeline_.rows[ready->second].end();
        if (std::all_of(timeline_.rows.begin(), timeline_.rows.end(), [](const Row& row) {
                return row.is_well();
            }))
            timeline_.everything = timeline_.end;
    }

    Timeline timeline_;
    std::map<std::string, std::size_t> index_of_;
    std::set<std::size_t> open_; // whose last stretch goes on
    std::map<std::size_t, Rerun> reruns_;
    double last_ = 0;
    bool has_run_ = false;
    bool settled_ = false;
};

} // namespace

bool Timeline::Row::is_well() const {
    return state == "satisfied" || state == "applied" || state == "skipped";
}

double Timeline::Row::took() const {
    double seconds = 0;
    for (const auto& stretch : stretches)
        seconds += stretch.to - stretch.from;
    return seconds;
}

std::optional<Timeline> make_timeline(std::span<const TimelineEvent> events,
                                      std::optional<double> now) {
    Maker maker;
    for (const auto& event : events)
        maker.take(event);
    return maker.finish(now);
}

} // namespace agent
