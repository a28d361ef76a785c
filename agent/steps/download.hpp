// Owns how a step gets a file from the network: fetched by a worker that is not root, taken over
// and verified by root, so that what is used are the bytes that were hashed.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/ports/account.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/step_ports.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <sys/types.h>

namespace agent {

struct Wish {
    std::string what; // for people: "Miniforge"
    std::string url;  // https; user, password and query are said to nobody
    std::string sha256;
    std::optional<std::uint64_t> size; // when it is known
    // As the machine sees it, in a directory that only root writes and that the fetching user may
    // pass through; it is made when it is absent.
    std::filesystem::path destination;
    mode_t mode = 0644;
    Account as; // who fetches: not root
    Network network;
};

// Makes the file be there, root's own. One that is there and right is not fetched again; what an
// earlier attempt got is gone on with. A file that was not the right one lies as file.rejected in
// .NAME.incoming beside the destination. Needs room for the file twice.
[[nodiscard]] boost::asio::awaitable<Result<void>>
fetch(StepContext& context, const StepPorts& ports, Wish wish);

} // namespace agent
