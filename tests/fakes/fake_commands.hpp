// Owns programs in tests: nothing is executed. What a command would have come to is scripted by a
// predicate on it; every command is recorded in order, and one that nobody scripted is a failure.
#pragma once

#include "agent/ports/command.hpp"

#include <boost/asio/awaitable.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agent::test {

// What a command comes to.
struct ScriptedEnd {
    std::variant<Exited, Signaled, TimedOut> status;
    std::string output;
    std::string errors;
    std::optional<Error> refusal; // no outcome at all
};

class FakeCommands final : public CommandRunner {
public:
    using Predicate = std::function<bool(const Command&)>;

    // The ends of the commands that fit, one after the other; the last one stays.
    class Script {
    public:
        explicit Script(Predicate fits) : fits_{std::move(fits)} {}
        Script& exits(int code, std::string output = {}, std::string errors = {}) {
            return ends({Exited{code}, std::move(output), std::move(errors), {}});
        }
        Script& is_killed(int signal) { return ends({Signaled{signal}, {}, {}, {}}); }
        Script& times_out() { return ends({TimedOut{}, {}, {}, {}}); }
        Script& refuses(Error error) { return ends({{}, {}, {}, std::move(error)}); }
        // What the program would have changed meanwhile; at each of its runs.
        Script& does(std::function<void(const Command&)> effect) {
            effect_ = std::move(effect);
            return *this;
        }

    private:
        friend class FakeCommands;
        Script& ends(ScriptedEnd end) {
            ends_.push_back(std::move(end));
            return *this;
        }
        ScriptedEnd run(const Command& command) {
            if (effect_)
                effect_(command);
            if (ends_.empty())
                return {Exited{0}, {}, {}, {}};
            ScriptedEnd end = ends_.front();
            if (ends_.size() > 1)
                ends_.pop_front();
            return end;
        }

        Predicate fits_;
        std::deque<ScriptedEnd> ends_;
        std::function<void(const Command&)> effect_;
    };

    // Of several scripts that fit, the last one written holds.
    Script& when(Predicate fits) { return scripts_.emplace_front(std::move(fits)); }
    // All these words are among the arguments; the program may be given by its name alone.
    Script& when(std::vector<std::string> words) {
        return when([words = std::move(words)](const Command& command) {
            return std::all_of(words.begin(), words.end(), [&](const std::string& word) {
                return has_word(command, word);
            });
        });
    }

    boost::asio::awaitable<Result<CommandOutcome>> run(Command command) override {
        ran.push_back(command);
        const auto script = std::find_if(
            scripts_.begin(), scripts_.end(), [&](Script& one) { return one.fits_(command); });
        if (script == scripts_.end())
            throw std::logic_error{"nobody scripted " + line(command)};
        const ScriptedEnd end = script->run(command);
        if (end.refusal)
            co_return *end.refusal;
        for (const std::string* text : {&end.output, &end.errors})
            tell_lines(command, *text);
        CommandOutcome outcome;
        outcome.argv = command.argv;
        outcome.status = end.status;
        outcome.output = end.output;
        outcome.error_tail = end.errors;
        co_return outcome;
    }

    static bool has_word(const Command& command, std::string_view word) {
        const auto& argv = command.argv;
        return std::find(argv.begin(), argv.end(), word) != argv.end() ||
               (!argv.empty() && std::filesystem::path{argv.front()}.filename() == word);
    }
    static std::string line(const Command& command) {
        std::string text;
        for (const auto& word : command.argv)
            text += (text.empty() ? "" : " ") + word;
        return text;
    }
    // Those that hold the word, in order.
    [[nodiscard]] std::vector<Command> all_with(std::string_view word) const {
        std::vector<Command> found;
        for (const auto& command : ran)
            if (has_word(command, word))
                found.push_back(command);
        return found;
    }

    std::vector<Command> ran;

private:
    static void tell_lines(const Command& command, std::string_view text) {
        while (command.on_line && !text.empty()) {
            const auto end = std::min(text.find('\n'), text.size());
            if (end > 0)
                command.on_line(text.substr(0, end));
            text.remove_prefix(std::min(end + 1, text.size()));
        }
    }

    std::list<Script> scripts_;
};

} // namespace agent::test
