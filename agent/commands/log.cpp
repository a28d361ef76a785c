#include "agent/commands/log.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/step_log_reader.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <ostream>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>
#include <unistd.h>

namespace agent {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 64;  // EX_USAGE
constexpr int exit_noperm = 77; // EX_NOPERM
constexpr int interval_ms = 250;

// What people may mean by a name that is no step's, and where it is to be found.
constexpr std::array<std::pair<std::string_view, std::string_view>, 2> journals{
    {{"agent", "journalctl --unit agent"}, {"jupyter", "journalctl --unit agent-jupyter"}}};

int refuse(const Error& error, std::ostream& err) {
    err << "agent log: " << error.message << "\n";
    if (!error.next.empty())
        err << "  next: " << error.next << "\n";
    return exit_failed;
}

int unknown(const std::string& step, const std::vector<std::string>& steps, std::ostream& err) {
    for (const auto& [name, command] : journals)
        if (step == name) {
            err << "agent log: " << name << " is no step; its journal: `" << command << "`\n";
            return exit_usage;
        }
    err << "agent log: no step " << printable(step, 80) << " has a log; "
        << (steps.empty() ? "no step has one yet" : "these have: " + join(steps, ", ")) << "\n";
    return exit_usage;
}

} // namespace

int log_command(const LogOptions& options,
                const Root& root,
                const std::function<bool()>& pause,
                std::ostream& out,
                std::ostream& err) {
    if (::access((root / layout::log_directory).c_str(), R_OK | X_OK) != 0 && errno == EACCES) {
        err << "agent log: the logs are for root and the group adm; use `sudo agent log`\n";
        return exit_noperm;
    }
    const auto steps = StepLogReader::steps(root);
    if (!steps)
        return refuse(steps.error(), err);
    const bool known = std::find(steps->begin(), steps->end(), options.step) != steps->end();
    if (!options.step.empty() && !known)
        return unknown(options.step, *steps, err);
    std::size_t name_width = 0;
    for (const auto& name : *steps)
        name_width = std::max(name_width, name.size());

    StepLogReader reader{root, options.step};
    while (true) {
        const auto lines = reader.next();
        if (!lines)
            return refuse(lines.error(), err);
        for (const auto& line : *lines) {
            out << line.time << ' ';
            if (options.step.empty()) {
                const std::size_t blanks = name_width - std::min(name_width, line.step.size());
                out << line.step << std::string(blanks, ' ') << "  ";
            }
            out << line.text << '\n';
        }
        out.flush();
        if (!options.follow || !out || !pause())
            return 0;
    }
}

bool pause_between_looks() {
    ::poll(nullptr, 0, interval_ms);
    return true;
}

} // namespace agent
