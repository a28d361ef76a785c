// Owns the catalogue of known installers, config/installers.toml, which is built in: by whom an
// environment can be made, and the SHA-256 that says the bytes are those.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

struct Installer {
    std::string name;    // for people: "Miniforge 26.3.2-3"
    std::string kind;    // python.kind
    std::string machine; // as `uname -m` says it
    std::string url;
    std::string sha256;
    std::optional<std::uint64_t> bytes; // of the file, where it is known
};

// In the order of the file.
[[nodiscard]] const std::vector<Installer>& known_installers();

// The first of its kind for this machine; nullptr: none is known.
[[nodiscard]] const Installer* installer_of_kind(std::string_view kind);

// nullptr: not a known one.
[[nodiscard]] const Installer* installer_at(std::string_view url);

// What this program was built for: "x86_64".
[[nodiscard]] std::string_view this_machine();

} // namespace agent
