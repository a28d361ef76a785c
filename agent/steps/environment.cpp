#include "agent/steps/environment.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <cctype>

namespace agent {

boost::asio::awaitable<Result<Environment>>
look_at_environment(StepContext& context, Account user, std::filesystem::path prefix) {
    Command command;
    command.argv = {"/proc/self/exe", "worker", "environment", prefix.string()};
    command.as = std::move(user);
    command.output_limit = 4 << 20;
    command.on_line = [](std::string_view) {};
    auto outcome = co_await context.run(std::move(command));
    if (!outcome)
        co_return outcome.error();
    auto seen = require_success(std::move(*outcome));
    if (!seen)
        co_return agent::context(seen.error(), "looking at " + prefix.string());
    const auto answer = parse_json(seen->output);
    if (!answer)
        co_return agent::context(answer.error(), "looking at " + prefix.string());
    Environment environment;
    const Value* exists = answer->find("exists");
    environment.exists = exists && exists->as_bool() && *exists->as_bool();
    environment.python = answer->string_or("python", "");
    if (const Value* packages = answer->find("packages"); packages && packages->as_object())
        for (const auto& [name, version, position] : *packages->as_object())
            if (const auto* text = version.as_string())
                environment.packages[normalised_name(name)] = *text;
    co_return environment;
}

std::string normalised_name(std::string_view name) {
    std::string out;
    bool separator = false;
    for (const char c : lower(name)) {
        if (c == '-' || c == '_' || c == '.') {
            separator = true;
            continue;
        }
        if (separator && !out.empty())
            out += '-';
        separator = false;
        out += c;
    }
    return out;
}

std::string required_name(std::string_view requirement) {
    const auto end = requirement.find_first_of("[=<>!~; \t@(");
    return normalised_name(trim(requirement.substr(0, end)));
}

std::vector<std::string> unmet(const std::vector<std::string>& requirements,
                               const Environment& environment) {
    std::vector<std::string> out;
    for (const auto& requirement : requirements) {
        const auto found = environment.packages.find(required_name(requirement));
        bool met = found != environment.packages.end();
        const auto pin = requirement.find("==");
        if (met && pin != std::string::npos && requirement.find('*') == std::string::npos &&
            requirement.find(',') == std::string::npos && requirement[pin + 2] != '=')
            met = trim(std::string_view{requirement}.substr(pin + 2)) == found->second;
        if (!met)
            out.push_back(requirement);
    }
    return out;
}

} // namespace agent
