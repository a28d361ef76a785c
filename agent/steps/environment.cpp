#include "agent/steps/environment.hpp"

#include "agent/base/python_marker.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <sys/utsname.h>

namespace agent {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Takes the characters at the front of `text` that fit.
template <class Fits> std::string_view take(std::string_view& text, Fits fits) {
    const auto end = std::find_if_not(text.begin(), text.end(), fits);
    const auto taken = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(taken.size());
    return taken;
}

// Digits without leading zeros.
std::string take_number(std::string_view& text) {
    const auto digits = take(text, is_digit);
    const auto first = digits.find_first_not_of('0');
    return first == std::string_view::npos ? "0" : std::string{digits.substr(first)};
}

void skip_separator(std::string_view& text) {
    if (!text.empty() && (text.front() == '.' || text.front() == '-' || text.front() == '_'))
        text.remove_prefix(1);
}

// PEP 440: 1.0, 1.0.0 and v1 are one version, and so are 1.0-RC.1 and 1rc1. Without the local part.
std::string normalised_public_version(std::string_view text) {
    const std::string_view whole = text;
    if (text.starts_with('v'))
        text.remove_prefix(1);
    std::vector<std::string> release{take_number(text)};
    std::string epoch;
    if (text.starts_with('!')) {
        text.remove_prefix(1);
        epoch = std::exchange(release.front(), take_number(text)) + "!";
    }
    while (text.size() > 1 && text[0] == '.' && is_digit(text[1])) {
        text.remove_prefix(1);
        release.push_back(take_number(text));
    }
    while (release.size() > 1 && release.back() == "0")
        release.pop_back();
    std::string out = epoch + join(release, ".");
    if (text.size() > 1 && text[0] == '-' && is_digit(text[1])) {
        text.remove_prefix(1);
        out += "post" + take_number(text);
    }
    while (!text.empty()) {
        constexpr std::array<std::pair<std::string_view, std::string_view>, 7> spellings{
            {{"alpha", "a"},
             {"beta", "b"},
             {"c", "rc"},
             {"pre", "rc"},
             {"preview", "rc"},
             {"rev", "post"},
             {"r", "post"}}};
        skip_separator(text);
        const auto word = take(text, [](char c) { return c >= 'a' && c <= 'z'; });
        if (word.empty())
            return std::string{whole}; // no version of PEP 440
        skip_separator(text);
        const auto* const spelling = std::find_if(
            spellings.begin(), spellings.end(), [&](const auto& one) { return one.first == word; });
        out += spelling == spellings.end() ? word : spelling->second;
        out += take_number(text);
    }
    return out;
}

// Whether `pin` names the installed version; a pin without a local part (+cpu) takes any.
bool names_version(std::string_view pin, std::string_view installed) {
    const auto parts = [](std::string_view version) {
        std::string text = lower(trim(version));
        const auto plus = std::min(text.find('+'), text.size());
        std::string local = text.substr(plus);
        std::replace_if(
            local.begin(), local.end(), [](char c) { return c == '-' || c == '_'; }, '.');
        return std::pair{normalised_public_version(text.substr(0, plus)), local};
    };
    const auto [wanted, wanted_local] = parts(pin);
    const auto [found, found_local] = parts(installed);
    return wanted == found && (wanted_local.empty() || wanted_local == found_local);
}

std::string machine() {
    struct utsname names{};
    return ::uname(&names) == 0 ? names.machine : "";
}

Command question(Account user, const std::filesystem::path& prefix) {
    Command command;
    command.argv = {"/proc/self/exe", "worker", "environment", prefix.string()};
    command.as = std::move(user);
    command.output_limit = 4 << 20;
    command.on_line = [](std::string_view) {};
    return command;
}

Result<Environment> answered(Result<CommandOutcome> outcome, const std::filesystem::path& prefix) {
    if (!outcome)
        return outcome.error();
    auto seen = require_success(std::move(*outcome));
    if (!seen)
        return agent::context(seen.error(), "looking at " + prefix.string());
    const auto answer = parse_json(seen->output);
    if (!answer)
        return agent::context(answer.error(), "looking at " + prefix.string());
    Environment environment;
    const auto is = [&](const char* key) {
        const Value* value = answer->find(key);
        return value && value->as_bool() && *value->as_bool();
    };
    environment.exists = is("exists");
    environment.is_venv = is("venv");
    environment.has_conda = is("has_conda");
    environment.python = answer->string_or("python", "");
    const auto take_packages = [&](const char* key, const auto& name_of) {
        std::map<std::string, std::string> found;
        if (const Value* packages = answer->find(key); packages && packages->as_object())
            for (const auto& [name, version, position] : *packages->as_object())
                if (const auto* text = version.as_string())
                    found[name_of(name)] = *text;
        return found;
    };
    environment.packages = take_packages("packages", normalised_name);
    environment.conda = take_packages("conda", lower);
    if (const Value* kernels = answer->find("kernels"); kernels && kernels->as_object())
        for (const auto& [name, program, position] : *kernels->as_object())
            if (const auto* text = program.as_string())
                environment.kernels[name] = *text;
    return environment;
}

} // namespace

boost::asio::awaitable<Result<Environment>>
look_at_environment(StepContext& context, Account user, std::filesystem::path prefix) {
    auto outcome = co_await context.run(question(std::move(user), prefix));
    co_return answered(std::move(outcome), prefix);
}

boost::asio::awaitable<Result<Environment>>
look_at_environment(CommandRunner& commands, Account user, std::filesystem::path prefix) {
    auto outcome = co_await commands.run(question(std::move(user), prefix));
    co_return answered(std::move(outcome), prefix);
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
    requirement = trim(requirement);
    return normalised_name(requirement.substr(0, requirement.find_first_of("[=<>!~; \t@(")));
}

std::vector<std::string> unmet(const std::vector<std::string>& requirements,
                               const Environment& environment) {
    std::vector<std::string> out;
    const PythonFacts facts{environment.python, machine()};
    for (const auto& whole : requirements) {
        const auto [requirement, marker] = split_marker(whole);
        if (!marker.empty() && !marker_holds(marker, facts).value_or(false))
            continue;
        const auto found = environment.packages.find(required_name(requirement));
        bool met = found != environment.packages.end();
        const auto pin = requirement.find("==");
        if (met && pin != std::string_view::npos &&
            requirement.find('*') == std::string_view::npos &&
            requirement.find(',') == std::string_view::npos && requirement.size() > pin + 2 &&
            requirement[pin + 2] != '=')
            met = names_version(requirement.substr(pin + 2), found->second);
        if (!met)
            out.push_back(whole);
    }
    return out;
}

} // namespace agent
