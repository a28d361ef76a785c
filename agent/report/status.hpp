// Owns the status contract: the one schema of /run/agent/status.json, `agent status --json` and the
// guest attribute agent/report. Documented in README; its names are an interface.
#pragma once

#include "agent/base/document.hpp"
#include "agent/base/error.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

enum class MachineState { starting, provisioning, ready, degraded, failed, stopping };
[[nodiscard]] std::string_view name_of(MachineState state);
// Whether this is how setting up ended.
[[nodiscard]] bool is_settled(MachineState state);
[[nodiscard]] std::optional<MachineState> machine_state(std::string_view name);

struct Problem {
    std::string step; // empty: not of a step (configuration, metadata)
    std::string kind; // name_of(ErrorKind)
    std::string message;
    std::string next;
    friend bool operator==(const Problem&, const Problem&) = default;
};

struct StepStatus {
    std::string id;
    std::string state; // pending running waiting satisfied applied failed blocked skipped
    std::string
        reason; // why it is in this state: why it was due, what blocks it, what it is doing now
    unsigned attempts = 0;
    std::optional<std::chrono::system_clock::time_point> started;
    double seconds = 0;
    std::string error;
};

struct Status {
    static constexpr std::int64_t schema = 1;
    MachineState state = MachineState::starting;
    std::string summary; // one line for people
    std::string boot_id;
    std::string instance_id;                     // empty: not known yet
    std::string config_sha256;                   // empty: none accepted yet
    std::chrono::system_clock::time_point since; // when `state` began
    std::string url;                             // empty: Jupyter is not open
    std::string certificate_sha256;
    std::string ssh_public_key;
    std::optional<Problem> problem;
    std::vector<StepStatus> steps;
};

// Times are ISO 8601 UTC with whole seconds; empty strings of optional facts become null.
[[nodiscard]] Value to_value(const Status& status); // with `steps`
// Without `steps`, bounded to 1 KiB serialised: the guest attribute agent/report.
[[nodiscard]] Value to_report(const Status& status);
// Refuses another schema and wrong types; tolerates unknown members.
[[nodiscard]] Result<Status> status_from(const Value& value);

} // namespace agent
