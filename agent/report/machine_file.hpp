// Owns /run/agent/machine.json and /run/agent/certificate.pem: what anybody on the machine may know
// beside its status, for the commands that tell people how to
// reach it, or bring them into its environment. Nothing in them is secret.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/files.hpp"
#include "agent/ports/reach.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

// Texts are foreign: they come from the metadata server. Empty: not known, or no VM of GCE.
struct MachineCard {
    std::string name;
    std::string project;
    std::string zone;
    std::string network;
    std::vector<std::string> tags;
    bool has_external_address = false;
    std::uint16_t port = 8888;
    Reach reach = Reach::this_machine;
    std::string landing;   // the first page of Jupyter's interface: "lab", "tree"
    std::string user;      // that Jupyter runs as
    std::string prefix;    // of its environment; empty: there is none
    std::string directory; // where it begins; relative to the user's home unless absolute
    std::map<std::string, std::string> variables; // what tells a program of the company's network
    friend bool operator==(const MachineCard&, const MachineCard&) = default;
};

// Both replace the file (0644) only when it says something else.
Result<void> write_machine_card(const Root& root, const MachineCard& card);
Result<void> publish_certificate(const Root& root, std::string_view certificate_pem);

// For any user; nullopt: the daemon has not written one (yet), or it is of another schema.
[[nodiscard]] std::optional<MachineCard> read_machine_card(const Root& root);

} // namespace agent
