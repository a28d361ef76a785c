// Owns the Debian packages that go by other names in newer releases: which names those are, and
// which of them a release has. A pin is never taken by another name.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

// What stands for the package in a newer release, the likeliest first; each alternative is one
// package or some together. Debian 13 gave libraries whose time became 64 bits wide the ending
// "t64".
[[nodiscard]] std::vector<std::vector<std::string>> newer_names(const std::string& name);

// Every name that a release must be asked about to know what `packages` go by there; empty: all of
// them have one name everywhere.
[[nodiscard]] std::vector<std::string> names_to_ask(const std::vector<std::string>& packages);

// "apt-cache policy" → the names that can be installed.
[[nodiscard]] std::set<std::string> installable_names(std::string_view policy);

struct ReleaseNames {
    std::vector<std::string> packages; // each once
    std::vector<std::string> renamed;  // "libasound2 as libasound2t64"
    // Pins on a name that this release has under another: "libasound2=1.2 is libasound2t64 here".
    std::vector<std::string> pinned;
};
// An old name stays as long as the release has it; one that it has in no form stays as well, for
// apt to say so.
[[nodiscard]] ReleaseNames release_names(const std::vector<std::string>& packages,
                                         const std::set<std::string>& installable);

// By which of its newer names an installed machine has it; empty: by none.
[[nodiscard]] std::string newer_name_in(const std::string& name,
                                        const std::set<std::string>& installed);

} // namespace agent
