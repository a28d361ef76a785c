#include "agent/steps/scratch.hpp"

#include "agent/ports/layout.hpp"

#include <system_error>
#include <utility>

namespace agent {

Result<Scratch> Scratch::make(const Root& root, const Account& user, std::string_view step) {
    std::string path = std::string{layout::scratch_directory} + "/" + std::string{step};
    Scratch scratch{root / path, path};
    if (auto parent = ensure_directory(scratch.place_.parent_path(), {.mode = 0711}); !parent)
        return parent.error();
    std::error_code failure;
    std::filesystem::remove_all(scratch.place_, failure);
    if (auto made =
            ensure_directory(scratch.place_, {.mode = 0700, .owner = user.uid, .group = user.gid});
        !made)
        return made.error();
    return scratch;
}

Scratch::Scratch(Scratch&& other) noexcept
    : place_{std::exchange(other.place_, {})}, path_{std::move(other.path_)} {}

Scratch::~Scratch() {
    if (place_.empty())
        return;
    std::error_code failure; // the next one tries again
    std::filesystem::remove_all(place_, failure);
    std::filesystem::remove(place_.parent_path(), failure); // unless another step has its own there
}

} // namespace agent
