// Owns `agent timeline`: a boot as a chart, on the terminal or as a picture. This boot's is a file
// that anybody may read; an earlier one's is asked of the journal.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/command.hpp"
#include "agent/report/timeline.hpp"
#include "agent/settings.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

struct TimelineOptions {
    // As `journalctl --boot` takes it: an id, or 0 for this one, -1 for the one before; empty: this
    // one.
    std::string boot;
    std::string svg; // the file to write; empty: none, "-": standard output
};

enum class Letters { ascii, unicode };

struct TimelineView {
    std::size_t columns = 80;
    Letters letters = Letters::ascii;
    Colours colours = Colours::off;
};

struct TimelineWorld {
    Root root;
    CommandRunner& commands;
    TimelineView view;
};

// The exit code: 0; 1 when there is nothing to show or the file cannot be written; 64 for what is
// no boot; 77 when the journal may not be read. Then a sentence on `err`. Throws Stopped.
[[nodiscard]] boost::asio::awaitable<int> timeline_command(TimelineOptions options,
                                                           TimelineWorld world,
                                                           std::ostream& out,
                                                           std::ostream& err);

// No line is wider than the view's columns (60 at least).
[[nodiscard]] std::string render_timeline(const Timeline& timeline, const TimelineView& view);
// A picture of its own: no script, no font, nothing fetched; light and dark as whoever looks has
// it.
[[nodiscard]] std::string render_timeline_svg(const Timeline& timeline);

// What both say above the chart: when it booted, how long it took.
[[nodiscard]] std::string timeline_title(const Timeline& timeline);
[[nodiscard]] std::vector<std::string> timeline_totals(const Timeline& timeline);
// "5 s", "2 min", "1 h"; for marks that lie `apart` seconds from each other.
[[nodiscard]] std::string mark_label(double at, double apart);
// How far apart the marks of a scale are, so that there are at most `most` of them up to `end`.
[[nodiscard]] double marks_apart(double end, std::size_t most);
// "journalctl -o json" with one line an entry → our events.
[[nodiscard]] std::vector<TimelineEvent> events_of_journal(std::string_view json_lines);
// Whether LC_ALL, LC_CTYPE or LANG, the first that is set, is one of UTF-8.
[[nodiscard]] Letters letters_of_locale();

} // namespace agent
