// THE table: every step, what it needs, its scope, its limit. Read this first.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/ports/metadata.hpp"
#include "agent/ports/reach.hpp"
#include "agent/settings.hpp"
#include "agent/steps/step_ports.hpp"

#include <map>
#include <string>
#include <vector>

namespace agent {

// The steps that these settings ask for on this machine; steps for what is not asked for are left
// out. `facts` is null when the metadata server could not be asked.
[[nodiscard]] std::vector<Step>
make_steps(const Settings& settings, const MachineFacts* facts, const StepPorts& ports);

// The package that brings Jupyter's interface.
[[nodiscard]] std::string interface_package(const Settings& settings);

// What tells a program that fetches of the network that the configuration names.
[[nodiscard]] std::map<std::string, std::string> network_environment(const Settings& settings);

// Off the VM only with a password.
[[nodiscard]] Reach jupyter_reach(const Settings& settings);

// The address that a person types: the external one if there is one, else the internal one; the VM
// itself when the port does not reach farther.
[[nodiscard]] std::string jupyter_url(const Settings& settings, const MachineFacts* facts);

} // namespace agent
