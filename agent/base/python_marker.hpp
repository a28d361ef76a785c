// Owns the markers of Python's requirements (`; python_version < "3.9"`, PEP 508): which are
// understood, and whether one holds for a Python on Linux.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace agent {

struct PythonFacts {
    std::string version; // "3.11.2"
    std::string machine; // "x86_64"
};

// What stands before the `;` of a requirement, and behind it; both trimmed.
[[nodiscard]] std::pair<std::string_view, std::string_view>
split_marker(std::string_view requirement);

// nullopt: it is no marker, or one that asks for what is not told here.
[[nodiscard]] std::optional<bool> marker_holds(std::string_view marker, const PythonFacts& facts);

} // namespace agent
