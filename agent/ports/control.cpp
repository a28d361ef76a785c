#include "agent/ports/control.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <array>
#include <optional>
#include <utility>

namespace agent {
namespace {

using Verb = ControlRequest::Verb;
using Outcome = ControlAnswer::Outcome;

constexpr std::array<std::pair<Verb, std::string_view>, 3> verbs{
    {{Verb::retry, "retry"}, {Verb::hold, "hold"}, {Verb::release, "release"}}};
constexpr std::array<std::pair<Outcome, std::string_view>, 4> outcomes{
    {{Outcome::accepted, "accepted"},
     {Outcome::forbidden, "forbidden"},
     {Outcome::invalid, "invalid"},
     {Outcome::failed, "failed"}}};

template <class Named, class Key> std::string name_in(const Named& names, Key key) {
    for (const auto& [known, name] : names)
        if (known == key)
            return std::string{name};
    return {};
}

template <class Key, std::size_t count>
std::optional<Key> key_in(const std::array<std::pair<Key, std::string_view>, count>& names,
                          std::string_view name) {
    for (const auto& [key, known] : names)
        if (known == name)
            return key;
    return std::nullopt;
}

Result<Value> parse_message(std::string_view text) {
    auto value = parse_json(text);
    if (!value)
        return value;
    if (!value->as_object())
        return permanent("a control message is a JSON object");
    const auto version = value->integer_or("version", 0);
    if (version != control_version)
        return permanent("version " + std::to_string(version) +
                             " of the control messages is not known here, only " +
                             std::to_string(control_version),
                         "use the `agent` of the same version as the running one");
    return value;
}

Result<std::string> text_member(const Value& message, const std::string& key) {
    const Value* value = message.find(key);
    if (!value || !value->as_string())
        return permanent("`" + key + "` of a control message is a string");
    return *value->as_string();
}

} // namespace

std::string write_control_request(const ControlRequest& request) {
    Value::Object message{{"version", control_version, {}},
                          {"verb", name_in(verbs, request.verb), {}}};
    if (request.verb == Verb::retry && !request.step.empty())
        message.push_back({"step", request.step, {}});
    if (request.verb == Verb::hold)
        message.push_back({"seconds", std::int64_t{request.duration.count()}, {}});
    return write_json(message);
}

Result<ControlRequest> parse_control_request(std::string_view text) {
    const auto message = parse_message(text);
    if (!message)
        return message.error();
    const auto name = text_member(*message, "verb");
    if (!name)
        return name.error();
    const auto verb = key_in(verbs, *name);
    if (!verb)
        return permanent("there is no verb " + printable(*name, 40) +
                         "; there are retry, hold and release");
    ControlRequest request;
    request.verb = *verb;
    for (const auto& member : *message->as_object()) {
        if (member.key == "version" || member.key == "verb")
            continue;
        if (member.key == "step" && request.verb == Verb::retry) {
            auto step = text_member(*message, "step");
            if (!step)
                return step.error();
            request.step = std::move(*step);
        } else if (member.key == "seconds" && request.verb == Verb::hold) {
            const auto* seconds = member.value.as_integer();
            if (!seconds)
                return permanent("`seconds` of a control message is an integer");
            request.duration = std::chrono::seconds{*seconds};
        } else {
            return permanent("a control message for " + *name + " has no member " +
                             printable(member.key, 40));
        }
    }
    if (request.verb == Verb::hold && request.duration <= std::chrono::seconds{0})
        return permanent("a hold lasts a positive number of `seconds`");
    return request;
}

std::string write_control_answer(const ControlAnswer& answer) {
    // Every byte of a message may need six in JSON.
    constexpr std::size_t longest = (control_message_limit - 128) / 6;
    const auto written = [&](std::string message) {
        return write_json(Value::Object{{"version", control_version, {}},
                                        {"outcome", name_in(outcomes, answer.outcome), {}},
                                        {"message", std::move(message), {}}});
    };
    std::string text = written(answer.message);
    return text.size() <= control_message_limit ? text
                                                : written(printable(answer.message, longest));
}

Result<ControlAnswer> parse_control_answer(std::string_view text) {
    const auto message = parse_message(text);
    if (!message)
        return message.error();
    const auto name = text_member(*message, "outcome");
    if (!name)
        return name.error();
    auto words = text_member(*message, "message");
    if (!words)
        return words.error();
    const auto outcome = key_in(outcomes, *name);
    if (!outcome)
        return permanent("there is no outcome " + printable(*name, 40));
    return ControlAnswer{*outcome, std::move(*words)};
}

} // namespace agent
