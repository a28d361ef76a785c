// Owns the list of what can be configured, as others than the reader need to know it: every key
// with its table and type, and how much of a line that holds it may be shown.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace agent {

enum class KeyType { string, integer, boolean, strings };

// What a line of a document may show of the value behind the key.
enum class Exposure {
    open,
    plain_url, // unless something in the URL could be, or be meant as, credentials
    guarded,   // nothing: a private key is easily pasted where a public one belongs
    secret,    // nothing; and the value itself is masked wherever it is printed
};

struct KeyFacts {
    std::string_view table; // "jupyter", "apt.repository"; "": outside a table
    std::string_view name;
    KeyType type = KeyType::string;
    Exposure exposure = Exposure::open;
    bool in_array = false; // the table is an array of tables: [[table]]
    bool is_required = false;
};

// In the order in which they are shown.
[[nodiscard]] std::vector<KeyFacts> known_keys();

// Of a key of this name in whatever table, the least open one; nullopt: there is none.
[[nodiscard]] std::optional<Exposure> exposure_of(std::string_view name);

} // namespace agent
