// Owns how steps speak to apt and dpkg: options for a machine without a person, whom to wait for,
// what is put right on the way, what their complaints mean.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/apt_names.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/step_ports.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>
#include <vector>

namespace agent {

// apt-get with these arguments; asks nothing, removes nothing, keeps configuration files that
// somebody changed.
[[nodiscard]] Command apt_get(const Network& network, std::vector<std::string> arguments);

// Both wait ten minutes for whoever holds a lock of apt or dpkg, and say who that is. apt would
// wait for one of the four alone (DPkg::Lock::Timeout), and in Debian 11 without a word.

// `apt-get update` with these further options.
[[nodiscard]] boost::asio::awaitable<Result<CommandOutcome>> update_lists(
    StepContext& context, StepPorts ports, Network network, std::vector<std::string> options);

// `apt-get install`, in one call. What an interrupted dpkg left half done is finished first, what
// it was unpacking is unpacked again, and what is there without what it depends on is given that. A
// package that nobody asked for may fail.
enum class Downgrades { refused, allowed };
[[nodiscard]] boost::asio::awaitable<Result<void>>
install_packages(StepContext& context,
                 StepPorts ports,
                 Network network,
                 std::vector<std::string> packages,
                 Downgrades downgrades = Downgrades::refused);

// Which of some packages ("name" or "name=version") the machine lacks. A name without a version is
// met by what stands for it in a newer release (apt_names.hpp) as well, and by an installed package
// that provides it, as a dependency on it would be.
struct PackagesThere {
    std::vector<std::string> absent;
    std::vector<std::string> renamed; // "libasound2 as libasound2t64": met by its newer name
};
[[nodiscard]] boost::asio::awaitable<Result<PackagesThere>>
packages_there(StepContext& context, std::vector<std::string> packages);
[[nodiscard]] boost::asio::awaitable<Result<std::vector<std::string>>>
absent_packages(StepContext& context, std::vector<std::string> packages);

// By the names that this release has, as far as apt's lists know them.
[[nodiscard]] boost::asio::awaitable<Result<ReleaseNames>>
in_names_of_release(StepContext& context, std::vector<std::string> packages);

// Those of `packages` that dpkg-query's answer ("name\tstatus\tversion" lines) does not fulfil.
[[nodiscard]] std::vector<std::string> missing_packages(const std::vector<std::string>& packages,
                                                        std::string_view dpkg_answer);

// Those of `packages` that no installed package provides; of "name\tstatus\tprovides" lines.
[[nodiscard]] std::vector<std::string> unprovided_packages(const std::vector<std::string>& packages,
                                                           std::string_view dpkg_answer);

// Of "name\tstatus\tname with architecture" lines: those whose unpacking was cut off, and those
// that somebody put on hold.
[[nodiscard]] std::vector<std::string> half_unpacked_packages(std::string_view dpkg_answer);
[[nodiscard]] std::vector<std::string> held_packages(std::string_view dpkg_answer);

// What `apt-get update` could not fetch, in its own words; it succeeds all the same when the mirror
// does not answer. Empty: nothing.
[[nodiscard]] std::string lists_problem(const CommandOutcome& outcome);

// What apt-get said, as an Error: a lock, a mirror or the network is transient, an unknown package
// or one that fails is named and permanent. `on_hold` are packages that may be in the way.
[[nodiscard]] Error apt_error(const CommandOutcome& outcome,
                              const std::vector<std::string>& on_hold = {});

} // namespace agent
