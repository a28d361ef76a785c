// Owns how a child that fetches something learns of the company's network: its proxy, its
// certificates. The metadata client is no such child.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace agent {

struct Network {
    std::string proxy;                     // "http://host:port" or https://; empty: none
    std::vector<std::string> no_proxy;     // beside this machine and the metadata server
    std::filesystem::path ca_certificates; // a PEM bundle, trusted instead of the system's
};

// For every program that fetches: curl's, Python's, pip's, uv's, git's, Go's and Node's names for
// the same things. Empty for a network that asks for nothing.
[[nodiscard]] std::map<std::string, std::string> fetching_environment(const Network& network);

// The same for apt, as options of its command line: the machine's own configuration of apt stays as
// it is.
[[nodiscard]] std::vector<std::string> apt_network_options(const Network& network);

// Whether every user may read the bundle: apt and the installers are not root when they fetch.
[[nodiscard]] Result<void> certificates_are_readable(const Root& root, const Network& network);

// What did not get through, with what this machine itself may lack for it: a network that is not up
// yet (no default route), else the name servers that it asked. Other errors stay as they are.
[[nodiscard]] Error with_network_state(Error error, const Root& root);

} // namespace agent
