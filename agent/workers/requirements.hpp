// Owns the worker that reads a requirements, lock or constraints file: runs as the environment's
// user, as the file may lie in his tree, or its text have come from the network.
#pragma once

#include <filesystem>
#include <istream>
#include <ostream>

namespace agent {

enum class ListKind { requirements, constraints };

// What it includes by -r and -c, beside it or below, is read under the same rules and belongs to
// it: ten files at most, as large together as one may be. In a constraints file there is no -r,
// which would install.
//
// One JSON line, exit 0 whatever the file is: {"state":"read", "sha256":…, "hashed":…,
// "entries":[{"file":…, "line":3, "requirement":"numpy==1.26.4; os_name == 'posix'", "text":…}],
// "constraints":[…]}, where text is the whole entry on one line, hashes included, and constraints
// are the files that requirements include by -c. Else {"state":"absent"|"refused", "file":…,
// "line":…, "problem":…}.
int requirements_worker(const std::filesystem::path& file, ListKind kind, std::ostream& out);
// The same of a text, which lies nowhere: its "file" is "", and it includes no other.
int requirements_worker(std::istream& text, std::ostream& out);

} // namespace agent
