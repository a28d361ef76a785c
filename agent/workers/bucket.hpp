// Owns the worker that reads one object of a bucket: it parses what comes from the network, so it
// is not root; its order, with the token in it, comes on standard input.
#pragma once

#include <iosfwd>

namespace agent {

// Reads one BucketOrder (ports/bucket.hpp), answers with one line. Returns 0 whatever the answer
// is; 64 when the order makes no sense, with a sentence on standard error. Redirects are not
// followed: the token is for this server alone. Writes no file. `build_year`: a clock before it is
// wrong.
int bucket_worker(std::istream& input, std::ostream& output, int build_year);
int bucket_worker(int build_year); // on standard input and output

} // namespace agent
