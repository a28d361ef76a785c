#include "agent/commands/plan.hpp"

#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"
#include "agent/graph/ledger.hpp"
#include "agent/ports/documents.hpp"
#include "agent/report/status_file.hpp"
#include "agent/settings_sources.hpp"
#include "agent/steps/account_memory.hpp"
#include "agent/steps/catalog.hpp"

#include <algorithm>
#include <optional>
#include <ostream>
#include <utility>

namespace agent {
namespace {

constexpr std::int64_t schema = 1;
constexpr std::size_t width = 80;
constexpr std::size_t longest_id = 28;
constexpr std::size_t longest_why = 600;

std::size_t characters(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); }));
}

// Whole words on lines of at most `room` characters; a longer word keeps a line of its own.
std::vector<std::string> wrapped(const std::string& text, std::size_t room) {
    std::vector<std::string> lines(1);
    for (const auto& word : split(text, ' ')) {
        if (!lines.back().empty() && characters(lines.back()) + 1 + characters(word) > room)
            lines.emplace_back();
        lines.back() += (lines.back().empty() ? "" : " ") + word;
    }
    return lines;
}

std::string padded(std::string text, std::size_t to) {
    text.append(to - std::min(to, characters(text)), ' ');
    return text;
}

std::string will_of(const Outlook& step) {
    const std::string will{name_of(step.will)};
    return step.will == Outlook::Will::wait ? will + " for " + step.after : will;
}

std::string counts(const std::vector<Outlook>& steps) {
    const auto of = [&](Outlook::Will will) {
        return std::count_if(
            steps.begin(), steps.end(), [&](const Outlook& step) { return step.will == will; });
    };
    const auto idle = of(Outlook::Will::nothing);
    if (idle == static_cast<std::ptrdiff_t>(steps.size()))
        return "nothing to do: every step is as it should be";
    std::string text;
    const auto add = [&](std::ptrdiff_t count, const char* what) {
        if (count > 0)
            text += (text.empty() ? "" : ", ") + std::to_string(count) + what;
    };
    add(of(Outlook::Will::run), " to run");
    add(of(Outlook::Will::wait), " waiting");
    add(of(Outlook::Will::fail), " that will fail");
    add(idle, " with nothing to do");
    return std::to_string(steps.size()) + " steps: " + text;
}

std::optional<std::string> what_runs_now(const Root& root) {
    const auto reading = read_status(root, current_boot_id(root));
    if (reading.stale || !reading.status ||
        (reading.status->state != MachineState::starting &&
         reading.status->state != MachineState::provisioning))
        return std::nullopt;
    std::vector<std::string> running;
    for (const auto& step : reading.status->steps)
        if (step.state == "running")
            running.push_back(printable(step.id, 80));
    return "the agent is at work right now" +
           (running.empty() ? std::string{} : " (" + join(running, ", ") + ")") +
           ": what it has not done yet is still due here";
}

int refuse(const Error& error, std::ostream& err) {
    err << "agent plan: " << error.message << "\n";
    if (!error.next.empty())
        err << "  next: " << error.next << "\n";
    return 1;
}

} // namespace

boost::asio::awaitable<int>
plan_command(PlanOptions options, PlanWorld world, std::ostream& out, std::ostream& err) {
    Prospect prospect;
    auto read_facts = co_await world.metadata.read();
    if (!read_facts)
        prospect.notes.push_back("on the files alone: " + read_facts.error().message);
    const MachineFacts* facts = read_facts ? &*read_facts : nullptr;
    const auto found = gather_sources(world.root, facts);
    const auto read = read_settings(found.sources);
    if (const auto* errors = std::get_if<ConfigErrors>(&read)) {
        for (const auto& diagnostic : errors->diagnostics)
            err << render(diagnostic, found.sources, options.colours) << "\n";
        for (const auto& note : prospect.notes)
            err << note << "\n";
        co_return 1;
    }
    const auto& settings = std::get<Settings>(read);
    prospect.config_sha256 = settings.sha256;
    if (auto busy = what_runs_now(world.root))
        prospect.notes.push_back(std::move(*busy));

    auto ledger = Ledger::look(world.root);
    if (!ledger)
        co_return refuse(ledger.error(), err);
    prospect.notes.insert(prospect.notes.end(), ledger->notes().begin(), ledger->notes().end());
    AccountMemory accounts{world.accounts};
    const StepPorts ports{world.root, accounts, world.services, world.clock, world.front_control};
    Engine::World engine_world{world.io,
                               world.commands,
                               world.clock,
                               *ledger,
                               facts ? facts->instance_id : std::string{},
                               [](const StepProgress&) {},
                               [](std::string_view, std::string_view) {}};
    Engine engine{std::move(engine_world), make_steps(settings, facts, ports)};
    auto looked = co_await engine.look();
    if (!looked)
        co_return refuse(looked.error(), err);
    prospect.steps = std::move(*looked);
    out << (options.json ? write_json(plan_value(prospect)) + "\n" : render_plan(prospect))
        << std::flush;
    co_return 0;
}

std::string render_plan(const Prospect& prospect) {
    std::string text;
    for (const auto& note : prospect.notes)
        for (const auto& line : wrapped(printable(note, longest_why), width))
            text += line + "\n";
    std::size_t id_width = 4;
    std::size_t will_width = 4;
    for (const auto& step : prospect.steps) {
        id_width = std::max(id_width, std::min(longest_id, characters(step.id)));
        will_width = std::max(will_width, std::min(longest_id, characters(will_of(step))));
    }
    const std::size_t indent = id_width + 2 + will_width + 2;
    text += (text.empty() ? "" : "\n") + padded("STEP", id_width) + "  " +
            padded("WILL", will_width) + "  WHY\n";
    for (const auto& step : prospect.steps) {
        std::string line = padded(step.id, id_width) + "  " + padded(will_of(step), will_width);
        for (const auto& piece : wrapped(printable(step.why, longest_why), width - indent)) {
            line += piece.empty() ? "" : "  " + piece;
            line.erase(line.find_last_not_of(' ') + 1);
            text += line + "\n";
            line = std::string(indent - 2, ' ');
        }
    }
    return text + "\n" + counts(prospect.steps) + "\n";
}

Value plan_value(const Prospect& prospect) {
    Value::Array notes;
    for (const auto& note : prospect.notes)
        notes.emplace_back(note);
    Value::Array steps;
    for (const auto& step : prospect.steps)
        steps.emplace_back(
            Value::Object{{"id", step.id, {}},
                          {"will", std::string{name_of(step.will)}, {}},
                          {"after", step.after.empty() ? Value{} : Value{step.after}, {}},
                          {"why", step.why, {}}});
    return Value::Object{{"schema", schema, {}},
                         {"config_sha256", prospect.config_sha256, {}},
                         {"notes", std::move(notes), {}},
                         {"steps", std::move(steps), {}}};
}

} // namespace agent
