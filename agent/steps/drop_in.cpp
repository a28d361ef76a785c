#include "agent/steps/drop_in.hpp"

#include "agent/ports/layout.hpp"

namespace agent {
namespace {

constexpr FileMode mode{.mode = 0644};

std::filesystem::path drop_in(const Root& root, std::string_view unit) {
    return root /
           (std::string{layout::unit_directory} + "/" + std::string{unit} + ".d/10-machine.conf");
}

} // namespace

bool drop_in_is(const Root& root, std::string_view unit, std::string_view content) {
    return file_is(drop_in(root, unit), content, mode);
}

Result<void> write_drop_in(const Root& root, std::string_view unit, std::string_view content) {
    const auto file = drop_in(root, unit);
    if (auto made = ensure_directory(file.parent_path(), {.mode = 0755}); !made)
        return made;
    return durable_write(file, content, mode);
}

} // namespace agent
