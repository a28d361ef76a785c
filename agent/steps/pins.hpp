// Owns the rule about pins: what the machine has in another version than the pin is reported, and
// changed only when a person asked for the step or its inputs changed.
#pragma once

#include "agent/graph/step.hpp"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

class Pins {
public:
    // Those of the deviating requirements that this run is to change. What a run's first look
    // leaves alone stays left alone, so that its last look does not find it wanting.
    [[nodiscard]] std::vector<std::string> due(const StepContext& context,
                                               const std::string& fingerprint,
                                               const std::vector<std::string>& deviating);
    // Those of the unmet requirements that this run is to install: what is absent, then what due()
    // gives of what is there in another version.
    [[nodiscard]] std::vector<std::string>
    missing(const StepContext& context,
            const std::string& fingerprint,
            std::vector<std::string> unmet,
            const std::function<bool(const std::string&)>& is_there);
    // `requirements` without what is left alone.
    [[nodiscard]] std::vector<std::string>
    to_install(const std::vector<std::string>& requirements) const;
    // What to say of those left alone; empty when there are none.
    [[nodiscard]] std::string report(std::string_view step) const;

private:
    std::optional<std::vector<std::string>> left_alone_; // nullopt: before the first look
};

} // namespace agent
