// Owns the worker that takes a fetched file over for root, off the daemon's thread: what is used
// afterwards are the very bytes that were hashed, in a file that nobody else could ever write.
#pragma once

#include <iosfwd>

namespace agent {

// Reads one AdoptOrder (ports/download.hpp), writes one outcome line. The copy is made 0600 beside
// the place it goes to, hashed as it is written, and put there only when it is right; one that a
// killed run left is replaced. Neither links nor devices are followed, and no more than `size`
// bytes are read: whoever owns `from` may change it meanwhile. Returns as fetch_worker() does.
int adopt_worker(std::istream& input, std::ostream& output);
int adopt_worker(); // on standard input and output

} // namespace agent
