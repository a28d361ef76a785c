// Owns what people type on their own machine when their browser does not reach this one: the
// firewall rule, Google's tunnel, or ssh's. Pure.
#pragma once

#include "agent/report/machine_file.hpp"

#include <string>

namespace agent {

// Some lines of at most 80 columns that can be copied as they are, or nothing when nothing is known
// that would help. What of the card could mean something to a shell is not shown: a word in
// capitals stands for it.
[[nodiscard]] std::string reach_advice(const MachineCard& card);

} // namespace agent
