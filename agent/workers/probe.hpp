// Owns the worker that asks Jupyter whether it answers and is ours; it parses what comes from
// outside, so it runs as nobody and its token comes on standard input.
#pragma once

#include <iosfwd>

namespace agent {

// Reads {"address", "port", "certificate_sha256", "token", "deadline_ms", "proven"}, writes one
// line:
// {"ok":true} or {"ok":false,"kind","message","next"}. Returns 0 in both cases; 64 when what it
// read makes no sense, with a sentence on standard error.
int probe_worker(std::istream& input, std::ostream& output);
int probe_worker(); // on standard input and output

} // namespace agent
