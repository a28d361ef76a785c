#include "agent/report/status_file.hpp"

#include "agent/base/lock.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"

namespace agent {
namespace {

Result<Status> parse_status(const std::string& text) {
    auto value = parse_json(text);
    if (!value)
        return value.error();
    return status_from(*value);
}

} // namespace

Result<void> StatusFile::write(const Status& status) {
    std::string text = write_json(to_value(status)) + "\n";
    if (text == written_)
        return {};
    auto result =
        durable_write(root_ / layout::status_file, text, {.mode = 0644}, Durability::ephemeral);
    if (!result)
        return context(result.error(), "writing the status");
    written_ = std::move(text);
    return {};
}

StatusReading read_status(const Root& root, const std::string& boot_id) {
    StatusReading reading;
    // The lock first: a daemon that starts in between is then seen with its own status or none.
    const auto holder = lock_holder(root / layout::lock_file);
    reading.daemon = holder.value_or(0);
    const auto text = read_file(root / layout::status_file);
    if (!text) {
        reading.why = text.error().message;
        return reading;
    }
    if (!*text) {
        reading.why = holder ? "the agent has not said anything yet"
                             : "the agent is not running and has left no status";
        return reading;
    }
    auto status = parse_status(**text);
    if (!status) {
        reading.why = context(status.error(), "reading the status").message;
        return reading;
    }
    reading.status = std::move(*status);
    if (reading.status->boot_id != boot_id)
        reading.why = "this status is of an earlier boot";
    else if (!holder)
        reading.why = "the agent is not running";
    else
        reading.stale = false;
    return reading;
}

int exit_status(const StatusReading& reading) {
    if (reading.stale || !reading.status)
        return 1;
    switch (reading.status->state) {
    case MachineState::ready:
        return 0;
    case MachineState::failed:
        return 1;
    case MachineState::degraded:
        return 2;
    case MachineState::starting:
    case MachineState::provisioning:
    case MachineState::stopping:
        break;
    }
    return 3;
}

std::string current_boot_id(const Root& root) {
    const auto text = read_file(root / "/proc/sys/kernel/random/boot_id", 256);
    return text && *text ? std::string{trim(**text)} : std::string{};
}

} // namespace agent
