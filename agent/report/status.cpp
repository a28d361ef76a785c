#include "agent/report/status.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/ports/documents.hpp"

#include <array>
#include <cmath>
#include <utility>

namespace agent {
namespace {

struct StateName {
    MachineState state;
    std::string_view name;
};
constexpr std::array<StateName, 6> state_names{{
    {MachineState::starting, "starting"},
    {MachineState::provisioning, "provisioning"},
    {MachineState::ready, "ready"},
    {MachineState::degraded, "degraded"},
    {MachineState::failed, "failed"},
    {MachineState::stopping, "stopping"},
}};

void add(Value::Object& object, std::string key, Value value) {
    object.push_back({std::move(key), std::move(value), {}});
}

Value optional_text(const std::string& text) {
    return text.empty() ? Value{} : Value{text};
}

Value problem_value(const std::optional<Problem>& problem) {
    if (!problem)
        return {};
    Value::Object object;
    add(object, "step", optional_text(problem->step));
    add(object, "kind", problem->kind);
    add(object, "message", problem->message);
    add(object, "next", optional_text(problem->next));
    return object;
}

Value step_value(const StepStatus& step) {
    Value::Object object;
    add(object, "id", step.id);
    add(object, "state", step.state);
    add(object, "reason", step.reason);
    add(object, "attempts", std::int64_t{step.attempts});
    add(object, "started", step.started ? Value{timestamp(*step.started)} : Value{});
    add(object, "seconds", std::round(step.seconds * 10) / 10);
    add(object, "error", optional_text(step.error));
    return object;
}

Value::Object report_object(const Status& status) {
    Value::Object object;
    add(object, "schema", Status::schema);
    add(object, "state", std::string{name_of(status.state)});
    add(object, "summary", status.summary);
    add(object, "boot_id", status.boot_id);
    add(object, "instance_id", optional_text(status.instance_id));
    add(object, "config_sha256", optional_text(status.config_sha256));
    add(object, "since", timestamp(status.since));
    add(object, "url", optional_text(status.url));
    add(object, "certificate_sha256", optional_text(status.certificate_sha256));
    add(object, "ssh_public_key", optional_text(status.ssh_public_key));
    add(object, "problem", problem_value(status.problem));
    return object;
}

// Reads members one by one and remembers the first that is not what the schema says.
class Reader {
public:
    explicit Reader(const Value& object, std::string where)
        : object_{object}, where_{std::move(where)} {}

    std::string text(const std::string& key) {
        const Value* value = object_.find(key);
        if (value && value->as_string())
            return *value->as_string();
        refuse(key);
        return {};
    }
    std::string optional_text(const std::string& key) {
        return is_null(key) ? std::string{} : text(key);
    }
    double number(const std::string& key) {
        const Value* value = object_.find(key);
        if (value && value->as_integer())
            return static_cast<double>(*value->as_integer());
        if (value && std::holds_alternative<double>(value->data))
            return std::get<double>(value->data);
        refuse(key);
        return 0;
    }
    std::chrono::system_clock::time_point time(const std::string& key) {
        if (const auto parsed = parse_timestamp(text(key)))
            return *parsed;
        refuse(key);
        return {};
    }
    [[nodiscard]] bool is_null(const std::string& key) const {
        const Value* value = object_.find(key);
        return !value || std::holds_alternative<std::nullptr_t>(value->data);
    }
    void refuse(const std::string& key) {
        if (wrong_.empty())
            wrong_ = where_ + key;
    }
    [[nodiscard]] const std::string& wrong() const { return wrong_; }

private:
    const Value& object_;
    std::string where_;
    std::string wrong_;
};

Error refusal(const std::string& member) {
    return permanent("the status is not of schema " + std::to_string(Status::schema) + ": `" +
                     member + "` is missing or of the wrong type");
}

Result<StepStatus> step_from(const Value& value) {
    Reader reader{value, "steps."};
    StepStatus step;
    step.id = reader.text("id");
    step.state = reader.text("state");
    step.reason = reader.text("reason");
    const double attempts = reader.number("attempts");
    if (attempts < 0 || attempts > 1e6)
        reader.refuse("attempts");
    else
        step.attempts = static_cast<unsigned>(attempts);
    if (!reader.is_null("started"))
        step.started = reader.time("started");
    step.seconds = reader.number("seconds");
    step.error = reader.optional_text("error");
    if (!reader.wrong().empty())
        return refusal(reader.wrong());
    return step;
}

} // namespace

std::string_view name_of(MachineState state) {
    for (const auto& known : state_names)
        if (known.state == state)
            return known.name;
    return "unknown";
}

bool is_settled(MachineState state) {
    return state == MachineState::ready || state == MachineState::degraded ||
           state == MachineState::failed;
}

std::optional<MachineState> machine_state(std::string_view name) {
    for (const auto& known : state_names)
        if (known.name == name)
            return known.state;
    return std::nullopt;
}

Value to_value(const Status& status) {
    Value::Object object = report_object(status);
    Value::Array steps;
    for (const auto& step : status.steps)
        steps.push_back(step_value(step));
    add(object, "steps", std::move(steps));
    return object;
}

Value to_report(const Status& status) {
    constexpr std::size_t bound = 1024;
    constexpr std::size_t identifier = 64;
    Status shown = status;
    shown.boot_id = printable(status.boot_id, identifier);
    shown.instance_id = printable(status.instance_id, identifier);
    shown.config_sha256 = printable(status.config_sha256, identifier);
    shown.certificate_sha256 = printable(status.certificate_sha256, identifier);
    shown.url = printable(status.url, 128);

    const auto cut = [&](std::size_t limit) {
        shown.summary = printable(status.summary, limit);
        if (!status.problem)
            return;
        shown.problem->step = printable(status.problem->step, identifier);
        shown.problem->kind = printable(status.problem->kind, 16);
        shown.problem->message = printable(status.problem->message, limit);
        shown.problem->next = printable(status.problem->next, limit);
    };
    // Half a key is of no use, so it goes whole when even short texts leave no room for it.
    for (const bool with_key : {true, false}) {
        shown.ssh_public_key = with_key ? status.ssh_public_key : std::string{};
        for (const std::size_t limit : {400U, 200U, 120U, 80U}) {
            cut(limit);
            if (Value report = report_object(shown); write_json(report).size() <= bound)
                return report;
        }
    }
    cut(24);
    return report_object(shown);
}

Result<Status> status_from(const Value& value) {
    const auto schema = value.integer_or("schema", 0);
    if (schema != Status::schema)
        return permanent("the status is of schema " + std::to_string(schema) + ", not " +
                             std::to_string(Status::schema),
                         "use the `agent` of the same version as the running one");
    Reader reader{value, ""};
    Status status;
    const auto state = machine_state(reader.text("state"));
    if (state)
        status.state = *state;
    else
        reader.refuse("state");
    status.summary = reader.text("summary");
    status.boot_id = reader.text("boot_id");
    status.instance_id = reader.optional_text("instance_id");
    status.config_sha256 = reader.optional_text("config_sha256");
    status.since = reader.time("since");
    status.url = reader.optional_text("url");
    status.certificate_sha256 = reader.optional_text("certificate_sha256");
    status.ssh_public_key = reader.optional_text("ssh_public_key");
    if (!reader.is_null("problem")) {
        Reader problem{*value.find("problem"), "problem."};
        status.problem = Problem{.step = problem.optional_text("step"),
                                 .kind = problem.text("kind"),
                                 .message = problem.text("message"),
                                 .next = problem.optional_text("next")};
        if (!problem.wrong().empty())
            return refusal(problem.wrong());
    }
    if (!reader.is_null("steps")) {
        const auto* steps = value.find("steps")->as_array();
        if (!steps)
            return refusal("steps");
        for (const auto& step : *steps) {
            auto read = step_from(step);
            if (!read)
                return read.error();
            status.steps.push_back(std::move(*read));
        }
    }
    if (!reader.wrong().empty())
        return refusal(reader.wrong());
    return status;
}

} // namespace agent
