// Owns the worker that downloads one file: it parses what comes from the network, so it is not
// root; its order, with whatever is secret in it, comes on standard input.
#pragma once

#include <iosfwd>

namespace agent {

// Reads one DownloadOrder (ports/download.hpp) and writes its lines: progress about once a second,
// notes, one outcome. Returns 0 once there is an outcome, good or bad; 64 when the order makes no
// sense, with a sentence on standard error. May be killed at any instruction and run again with the
// same order: it goes on where it was. `build_year`: a clock before it is wrong.
int fetch_worker(std::istream& input, std::ostream& output, int build_year);
int fetch_worker(int build_year); // on standard input and output

} // namespace agent
