#include "agent/commands/watch.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/commands/screen.hpp"
#include "agent/commands/status.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/report/status_changes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <poll.h>
#include <unistd.h>

namespace agent {
namespace {

using Until = WatchOptions::Until;
using Verdict = SettleWatch::Verdict;

Colours colours_of_terminal() {
    const char* no_colour = std::getenv("NO_COLOR");
    return no_colour && *no_colour ? Colours::off : Colours::on;
}

bool write_all(int output, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = ::write(output, text.data(), text.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return false;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
}

std::string late_line(const WatchOptions& options) {
    return "not settled within " + in_words(*options.timeout) + "\n";
}

int watch_on_terminal(const WatchOptions& options, const Root& root, int terminal) {
    const std::string boot_id = current_boot_id(root);
    StatusView view;
    view.colours = colours_of_terminal();
    SettleWatch settling{std::chrono::steady_clock::now(), options.timeout};
    StatusChanges changes{root};
    StatusReading reading;
    auto verdict = Verdict::wait;
    {
        Screen screen{terminal};
        while (screen.is_there()) {
            reading = read_status(root, boot_id);
            const auto now = std::chrono::steady_clock::now();
            verdict = settling.observe(reading, now);
            if (options.until == Until::settled && verdict != Verdict::wait)
                break;
            view.rows = screen.size().rows - 1;
            screen.draw(status_text(root, reading, std::chrono::system_clock::now(), view));
            screen.wait(changes.fd(),
                        options.until == Until::settled
                            ? settling.time_left(now, changes.longest_wait())
                            : changes.longest_wait());
            changes.look();
        }
        if (!screen.is_there())
            return 1;
        screen.erase();
    }
    view.rows = StatusView::unlimited;
    view.machine = read_machine_card(root);
    std::string text = status_text(root, reading, std::chrono::system_clock::now(), view);
    if (verdict == Verdict::late)
        text += "\n" + late_line(options);
    write_all(terminal, text);
    return exit_status(reading);
}

int watch_in_lines(const WatchOptions& options, const Root& root, int output) {
    const std::string boot_id = current_boot_id(root);
    SettleWatch settling{std::chrono::steady_clock::now(), options.timeout};
    StatusChanges changes{root};
    PlainWatch watch;
    while (true) {
        const StatusReading reading = read_status(root, boot_id);
        std::string text;
        for (const auto& line : watch.lines(reading, std::chrono::system_clock::now()))
            text += line + "\n";
        if (!write_all(output, text))
            return 1;
        const auto now = std::chrono::steady_clock::now();
        const auto verdict = settling.observe(reading, now);
        if (options.until == Until::settled && verdict != Verdict::wait) {
            if (verdict == Verdict::late)
                write_all(output, late_line(options));
            return exit_status(reading);
        }
        // A pipe that nobody reads any more is in error, whatever is asked of it.
        std::array<pollfd, 2> watched{pollfd{changes.fd(), POLLIN, 0}, pollfd{output, 0, 0}};
        const auto longest = options.until == Until::settled
                                 ? settling.time_left(now, changes.longest_wait())
                                 : changes.longest_wait();
        ::poll(watched.data(), watched.size(), static_cast<int>(longest.count()));
        if ((watched[1].revents & (POLLERR | POLLHUP)) != 0)
            return 1;
        changes.look();
    }
}

} // namespace

std::vector<std::string> PlainWatch::lines(const StatusReading& reading,
                                           std::chrono::system_clock::time_point now) {
    std::vector<std::string> lines;
    const std::string time = timestamp(now).substr(11, 8) + " ";
    std::string stands; // what is told when it changes
    std::string told;
    if (reading.stale || !reading.status) {
        stands = told = "stale: " + printable(reading.why);
    } else {
        const Status& status = *reading.status;
        stands = std::string{name_of(status.state)} + " " + status.url;
        // How many steps are done is told by the steps themselves.
        told = is_settled(status.state) ? printable(status.summary)
                                        : std::string{name_of(status.state)};
    }
    const bool stands_elsewhere = stands != stands_;
    stands_ = std::move(stands);
    const bool is_end = reading.status && !reading.stale && is_settled(reading.status->state);
    if (stands_elsewhere && !is_end)
        lines.push_back(time + told);
    if (reading.status && !reading.stale)
        for (const auto& line : steps_.lines(*reading.status))
            lines.push_back(time + line);
    if (stands_elsewhere && is_end)
        lines.push_back(time + told);
    return lines;
}

int watch_command(const WatchOptions& options, const Root& root, int output) {
    return ::isatty(output) == 1 ? watch_on_terminal(options, root, output)
                                 : watch_in_lines(options, root, output);
}

} // namespace agent
