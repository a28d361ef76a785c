#include "agent/commands/timeline.hpp"

#include "agent/base/boot_time.hpp"
#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"
#include "agent/report/status_file.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <ostream>
#include <utility>

#include <unistd.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr int exit_failed = 1;
constexpr int exit_usage = 64;  // EX_USAGE
constexpr int exit_noperm = 77; // EX_NOPERM
constexpr const char* journalctl = "/usr/bin/journalctl";

struct Refusal {
    int exit_code = exit_failed;
    std::string message;
};

Refusal refusal(const Error& error) {
    return {exit_failed, error.message + (error.next.empty() ? "" : "; " + error.next)};
}

std::string without_dashes(std::string text) {
    std::erase(text, '-');
    return text;
}

// As journalctl takes it; nullopt: neither an id nor a number.
std::optional<std::string> boot_argument(const std::string& boot) {
    const auto all = [](std::string_view text, auto is) {
        return !text.empty() &&
               std::all_of(text.begin(), text.end(), [&](unsigned char c) { return is(c) != 0; });
    };
    const std::string_view number = boot.starts_with('-') || boot.starts_with('+')
                                        ? std::string_view{boot}.substr(1)
                                        : std::string_view{boot};
    if (number.size() <= 6 && all(number, [](unsigned char c) { return std::isdigit(c); }))
        return boot;
    std::string id = without_dashes(lower(boot));
    if (id.size() == 32 && all(id, [](unsigned char c) { return std::isxdigit(c); }))
        return id;
    return std::nullopt;
}

bool is_this_boot(const Root& root, const std::string& boot) {
    return boot.empty() || boot == "0" || boot == "-0" || boot == "+0" ||
           boot == without_dashes(current_boot_id(root));
}

// Of this boot: what is under way goes on until now, while its daemon lives.
std::optional<double> now_of(const Root& root) {
    const auto reading = read_status(root, current_boot_id(root));
    if (reading.stale)
        return std::nullopt;
    return std::chrono::duration<double>(since_boot() - first_process_started(root)).count();
}

// The journal shows whoever may not read it the entries of his own processes: none of ours.
bool may_read_journal(const Root& root) {
    if (::geteuid() == 0)
        return true;
    const auto id = read_file(root / "/etc/machine-id", 256);
    if (!id || !*id)
        return true;
    for (const std::string directory : {"/var/log/journal/", "/run/log/journal/"}) {
        const auto journal = root / (directory + std::string{trim(**id)} + "/system.journal");
        if (::access(journal.c_str(), F_OK) == 0)
            return ::access(journal.c_str(), R_OK) == 0;
    }
    return true;
}

boost::asio::awaitable<boost::system::result<std::vector<TimelineEvent>, Refusal>>
ask_journal(TimelineWorld world, std::string boot) {
    if (!may_read_journal(world.root))
        co_return Refusal{exit_noperm,
                          "earlier boots are in the journal, which is for root and the group adm; "
                          "use `sudo agent timeline`"};
    Command command;
    command.argv = {journalctl,
                    "--quiet",
                    "--no-pager",
                    "--output=json",
                    "--output-fields=AGENT_EVENT",
                    "--lines=20000",
                    "--boot=" + boot,
                    std::string{"MESSAGE_ID="} + log::event_message_id,
                    // The kernel's word, so that no other program can write our history.
                    "_SYSTEMD_UNIT=agent.service",
                    "_UID=0"};
    command.deadline = 1min;
    command.output_limit = 16U << 20;
    command.on_line = [](std::string_view) {};
    auto outcome = co_await world.commands.run(std::move(command));
    if (!outcome)
        co_return refusal(outcome.error());
    // It fails as well for a boot that it does not know.
    if (outcome->exit_code() == 1 && trim(outcome->output).empty())
        co_return Refusal{exit_failed,
                          "the journal has no such boot (" + printable(boot, 40) +
                              "); `journalctl --list-boots` shows those that it has"};
    auto told = require_success(std::move(*outcome));
    if (!told)
        co_return refusal(context(told.error(), "asking the journal"));
    co_return events_of_journal(told->output);
}

bool write_whole(const std::string& file, const std::string& text, std::ostream& out) {
    if (file == "-") {
        out << text << std::flush;
        return static_cast<bool>(out);
    }
    std::ofstream stream{file, std::ios::binary | std::ios::trunc};
    stream << text;
    stream.close();
    return static_cast<bool>(stream);
}

} // namespace

boost::asio::awaitable<int> timeline_command(TimelineOptions options,
                                             TimelineWorld world,
                                             std::ostream& out,
                                             std::ostream& err) {
    const auto refuse = [&err](const Refusal& refused) {
        err << "agent timeline: " << refused.message << "\n";
        return refused.exit_code;
    };
    const auto boot =
        options.boot.empty() ? std::optional{options.boot} : boot_argument(options.boot);
    if (!boot)
        co_return refuse({exit_usage,
                          printable(options.boot, 40) +
                              " is no boot: give its id, or -1 for the one before this"});
    std::vector<TimelineEvent> events;
    std::optional<double> now;
    const bool is_now = is_this_boot(world.root, *boot);
    if (is_now) {
        auto read = read_timeline(world.root);
        if (!read)
            co_return refuse(refusal(read.error()));
        events = std::move(*read);
        now = now_of(world.root);
    } else {
        auto asked = co_await ask_journal(world, *boot);
        if (!asked)
            co_return refuse(asked.error());
        events = std::move(*asked);
    }
    const auto timeline = make_timeline(events, now);
    if (!timeline)
        co_return refuse({exit_failed,
                          is_now ? "no step has been run in this boot yet; see `agent status`"
                                 : "the journal has no step of that boot; it keeps earlier boots "
                                   "where /var/log/journal exists"});
    if (options.svg.empty()) {
        out << render_timeline(*timeline, world.view) << std::flush;
        co_return 0;
    }
    if (!write_whole(options.svg, render_timeline_svg(*timeline), out))
        co_return refuse({exit_failed, "cannot write " + printable(options.svg, 200)});
    co_return 0;
}

std::vector<TimelineEvent> events_of_journal(std::string_view json_lines) {
    std::vector<TimelineEvent> events;
    for (const auto& line : split(json_lines, '\n')) {
        const auto entry = parse_json(line);
        if (!entry)
            continue;
        if (auto event = timeline_event(entry->string_or("AGENT_EVENT", "")))
            events.push_back(std::move(*event));
    }
    return events;
}

Letters letters_of_locale() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (!value || !*value)
            continue;
        const std::string locale = lower(value);
        const bool is_utf8 =
            locale.find("utf-8") != std::string::npos || locale.find("utf8") != std::string::npos;
        return is_utf8 ? Letters::unicode : Letters::ascii;
    }
    return Letters::ascii;
}

} // namespace agent
