// Owns the schema: which tables and keys there are, how each is read over what earlier sources
// said, and how it is printed. THE table of keys is in the source file; a key added there is known
// to the hints, to `agent config` and to the tests.
#pragma once

#include "agent/base/document.hpp"
#include "agent/settings.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

// The configuration while its sources are read, one after the other.
struct ConfigDraft {
    // What one source said of a key.
    struct Said {
        std::size_t source = 0;
        Position position = {}; // of the key
        Position value_position = {};
        Value value = {};           // as it is printed: secrets are masked; or how many tables
        bool is_comparable = false; // whether equal values say the same
    };
    struct Found {
        std::size_t source = 0; // those of no source come last
        Diagnostic diagnostic;
    };

    Settings settings;
    std::map<std::string, std::vector<Said>, std::less<>> said; // dotted key → in order of sources
    std::vector<Found> found;
};

// Reads one source's document over the draft; what is wrong in it goes to draft.found, bounded.
void read_document(const ConfigSource& source,
                   std::size_t index,
                   const Value::Object& document,
                   ConfigDraft& draft);

[[nodiscard]] std::vector<MergedTable> merge(const ConfigDraft& draft,
                                             std::span<const ConfigSource> sources);

// How many characters the token at `position` has: a bare key, a quoted text, a number.
[[nodiscard]] std::size_t token_width(std::string_view text, Position position);

// "line 3, column 1"
[[nodiscard]] std::string place_in_words(Position position);

} // namespace agent
