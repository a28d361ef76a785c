#include "agent/installers.hpp"

#include "agent/ports/documents.hpp"

#include <algorithm>
#include <stdexcept>

extern "C" {
// NOLINTBEGIN(*-avoid-c-arrays)
extern const char agent_installers_begin[];
extern const char agent_installers_end[];
// NOLINTEND(*-avoid-c-arrays)
}

namespace agent {
namespace {

// What is wrong with it is a mistake of this program's, and every test that reads a configuration
// meets it.
std::vector<Installer> read_catalogue() {
    const auto parsed = parse_toml({agent_installers_begin, agent_installers_end});
    const Value* list = parsed ? parsed->find("installer") : nullptr;
    if (!list || !list->as_array())
        throw std::logic_error("config/installers.toml is not what is expected of it");
    std::vector<Installer> known;
    for (const Value& one : *list->as_array()) {
        Installer installer{.name = one.string_or("name", ""),
                            .kind = one.string_or("kind", ""),
                            .machine = one.string_or("machine", ""),
                            .url = one.string_or("url", ""),
                            .sha256 = one.string_or("sha256", ""),
                            .bytes = {}};
        if (const std::int64_t bytes = one.integer_or("bytes", 0); bytes > 0)
            installer.bytes = static_cast<std::uint64_t>(bytes);
        known.push_back(std::move(installer));
    }
    return known;
}

template <class Fits> const Installer* first(Fits fits) {
    const auto& known = known_installers();
    const auto found = std::find_if(known.begin(), known.end(), fits);
    return found == known.end() ? nullptr : &*found;
}

} // namespace

const std::vector<Installer>& known_installers() {
    static const std::vector<Installer> known = read_catalogue();
    return known;
}

const Installer* installer_of_kind(std::string_view kind) {
    return first(
        [&](const Installer& one) { return one.kind == kind && one.machine == this_machine(); });
}

const Installer* installer_at(std::string_view url) {
    return first([&](const Installer& one) { return one.url == url; });
}

std::string_view this_machine() {
#if defined(__x86_64__)
    return "x86_64";
#elif defined(__aarch64__)
    return "aarch64";
#else
#error "no installers are known for this architecture"
#endif
}

} // namespace agent
