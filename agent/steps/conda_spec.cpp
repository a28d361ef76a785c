#include "agent/steps/conda_spec.hpp"

#include "agent/base/text.hpp"

namespace agent {
namespace {

constexpr std::string_view operators = "=<>!~ ";

std::string_view without_channel(std::string_view spec) {
    const auto colons = spec.find("::");
    return colons == std::string_view::npos ? spec : spec.substr(colons + 2);
}

// "=1.26" takes 1.26 and 1.26.4, "==1.26" takes 1.26 alone; what is no pin takes any.
bool takes(std::string_view constraint, std::string_view version) {
    if (!constraint.starts_with('=') ||
        constraint.find_first_of("|,<>!~") != std::string_view::npos)
        return true;
    const bool exact = constraint.starts_with("==");
    std::string_view pin = constraint.substr(exact ? 2 : 1);
    pin = pin.substr(0, pin.find('=')); // without the build
    const bool any_below = !exact || pin.ends_with('*');
    while (pin.ends_with('*') || pin.ends_with('.'))
        pin.remove_suffix(1);
    if (pin.empty() || version == pin)
        return true;
    return any_below && version.starts_with(pin) && version[pin.size()] == '.';
}

} // namespace

std::string conda_name(std::string_view spec) {
    const std::string_view rest = without_channel(spec);
    return lower(rest.substr(0, rest.find_first_of(operators)));
}

std::vector<std::string> unmet_conda_specs(const std::vector<std::string>& specs,
                                           const std::map<std::string, std::string>& packages) {
    std::vector<std::string> unmet;
    for (const auto& spec : specs) {
        const std::string_view rest = without_channel(spec);
        const auto found = packages.find(conda_name(spec));
        const auto end = std::min(rest.find_first_of(operators), rest.size());
        if (found == packages.end() || !takes(trim(rest.substr(end)), found->second))
            unmet.push_back(spec);
    }
    return unmet;
}

} // namespace agent
