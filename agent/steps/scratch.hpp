// Owns the place where installers keep what they need for a while. Not /tmp, which may be small, in
// memory or mounted noexec, and is everybody's.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/account.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace agent {

class Scratch {
public:
    // Empty, the step's own and the user's alone; what an earlier run left there is gone.
    [[nodiscard]] static Result<Scratch>
    make(const Root& root, const Account& user, std::string_view step);
    // Takes it away.
    ~Scratch();
    Scratch(Scratch&& other) noexcept;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    Scratch& operator=(Scratch&&) = delete;

    // For TMPDIR, as the machine sees it.
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    Scratch(std::filesystem::path place, std::string path)
        : place_{std::move(place)}, path_{std::move(path)} {}

    std::filesystem::path place_;
    std::string path_;
};

} // namespace agent
