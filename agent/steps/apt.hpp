// Owns how steps speak to apt and dpkg: options for a machine without a person, whom to wait for,
// what is put right on the way, what their complaints mean.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/ports/clock.hpp"
#include "agent/steps/fetching.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>
#include <vector>

namespace agent {

// apt-get with these arguments; asks nothing, removes nothing, keeps configuration files that
// somebody changed, and waits for dpkg's lock.
[[nodiscard]] Command apt_get(const Network& network, std::vector<std::string> arguments);

// `apt-get update` with these further options. apt-get does not wait for the lock of its lists
// (apt 2.6, whatever DPkg::Lock::Timeout says): this does, two minutes, and tells who holds it.
[[nodiscard]] boost::asio::awaitable<Result<CommandOutcome>>
update_lists(StepContext& context, Clock& clock, Network network, std::vector<std::string> options);

// `apt-get install`, in one call. What an interrupted dpkg left half done is finished first.
enum class Downgrades { refused, allowed };
[[nodiscard]] boost::asio::awaitable<Result<void>>
install_packages(StepContext& context,
                 Clock& clock,
                 Network network,
                 std::vector<std::string> packages,
                 Downgrades downgrades = Downgrades::refused);

// Those of `packages` ("name" or "name=version") that the machine lacks. A name without a version
// is met by an installed package that provides it as well, as a dependency on it would be.
[[nodiscard]] boost::asio::awaitable<Result<std::vector<std::string>>>
absent_packages(StepContext& context, std::vector<std::string> packages);

// Those of `packages` that dpkg-query's answer ("name\tstatus\tversion" lines) does not fulfil.
[[nodiscard]] std::vector<std::string> missing_packages(const std::vector<std::string>& packages,
                                                        std::string_view dpkg_answer);

// Those of `packages` that no installed package provides; of "name\tstatus\tprovides" lines.
[[nodiscard]] std::vector<std::string> unprovided_packages(const std::vector<std::string>& packages,
                                                           std::string_view dpkg_answer);

// What apt-get said, as an Error: a lock, a mirror or the network is transient, an unknown package
// is named and permanent.
[[nodiscard]] Error apt_error(const CommandOutcome& outcome);

} // namespace agent
