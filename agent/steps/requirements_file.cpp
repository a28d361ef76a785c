#include "agent/steps/requirements_file.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <utility>

namespace agent {
namespace {

// Where the text is: what the worker is told, and what it is given to read.
struct Input {
    std::vector<std::string> arguments;
    std::string text = {};
};

boost::asio::awaitable<Result<RequirementsFile>>
ask_worker(StepContext& context, Account user, std::string place, Input input) {
    RequirementsFile file;
    const std::string name = user.name;
    const bool is_file = input.arguments.back() != "-";
    Command command;
    command.argv = {"/proc/self/exe", "worker", "requirements"};
    command.argv.insert(command.argv.end(), input.arguments.begin(), input.arguments.end());
    command.input = std::move(input.text);
    command.as = std::move(user);
    command.output_limit = std::size_t{8} << 20;
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto seen = require_success(std::move(*outcome));
    if (!seen)
        co_return agent::context(seen.error(), "reading " + place);
    const auto answer = parse_json(seen->output);
    if (!answer)
        co_return agent::context(answer.error(), "reading " + place);
    // A text that lies nowhere has no file's name.
    const auto file_of = [&place](const Value& told) {
        std::string named = told.string_or("file", "");
        return named.empty() ? place : named;
    };
    const std::string state = answer->string_or("state", "");
    if (state == "absent")
        co_return misconfigured("there is no " + place,
                                "put the file there, or correct [python] in the configuration");
    if (state != "read") {
        const Value* line = answer->find("line");
        const std::int64_t number = line && line->as_integer() ? *line->as_integer() : 0;
        co_return misconfigured(
            printable(file_of(*answer), 300) + (number > 0 ? ":" + std::to_string(number) : "") +
                ": " + printable(answer->string_or("problem", "it cannot be read"), 300),
            is_file ? "correct the file, which " + name + " must be able to read"
                    : "correct it and put it there again, then `agent retry`");
    }
    file.place = place;
    file.sha256 = answer->string_or("sha256", "");
    const Value* hashed = answer->find("hashed");
    file.is_hashed = hashed && hashed->as_bool() && *hashed->as_bool();
    if (const Value* entries = answer->find("entries"); entries && entries->as_array())
        for (const Value& entry : *entries->as_array()) {
            if (!entry.as_object())
                continue;
            const Value* line = entry.find("line");
            file.entries.push_back({file_of(entry),
                                    line && line->as_integer() ? *line->as_integer() : 0,
                                    entry.string_or("requirement", ""),
                                    entry.string_or("text", "")});
        }
    if (const Value* constraints = answer->find("constraints");
        constraints && constraints->as_array())
        for (const Value& one : *constraints->as_array())
            if (one.as_string())
                file.constraints.emplace_back(*one.as_string());
    co_return file;
}

boost::asio::awaitable<Result<RequirementsFile>> look_at_file(StepContext& context,
                                                              Account user,
                                                              std::filesystem::path path,
                                                              std::vector<std::string> options) {
    if (path.empty())
        co_return RequirementsFile{};
    Input input{std::move(options)};
    input.arguments.push_back(path.string());
    auto seen = co_await ask_worker(context, std::move(user), path.string(), std::move(input));
    if (seen)
        seen->path = std::move(path);
    co_return seen;
}

} // namespace

boost::asio::awaitable<Result<RequirementsFile>>
look_at_requirements(StepContext& context, Account user, std::filesystem::path path) {
    return look_at_file(context, std::move(user), std::move(path), {});
}

boost::asio::awaitable<Result<RequirementsFile>>
look_at_constraints(StepContext& context, Account user, std::filesystem::path path) {
    return look_at_file(context, std::move(user), std::move(path), {"--constraints"});
}

boost::asio::awaitable<Result<RequirementsFile>>
look_at_requirements(StepContext& context, Account user, std::string place, std::string text) {
    Input input{{"-"}, std::move(text)};
    co_return co_await ask_worker(context, std::move(user), std::move(place), std::move(input));
}

} // namespace agent
