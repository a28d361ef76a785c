// Owns whose a Python prefix is. A marker of root's beside it says that we made it, and what with:
// only what we made is ever cleared.
#pragma once

#include "agent/base/files.hpp"
#include "agent/ports/account.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace agent {

// Where root keeps a word about a prefix, `what` being empty for Prefix's own: beside it. What
// conda has below its envs/ is in the user's tree: that word lies beside conda's own prefix.
[[nodiscard]] std::filesystem::path beside_prefix(const std::filesystem::path& prefix,
                                                  std::string_view what);

class Prefix {
public:
    Prefix(Root root, std::filesystem::path path)
        : root_{std::move(root)}, path_{std::move(path)} {}

    // The directory is there, the user's, and ours to fill; misconfigured when something is there
    // that we did not make.
    [[nodiscard]] Result<void> claim(const Account& owner) const;

    // What it was made with, one line, written when it is whole; empty: it never was.
    [[nodiscard]] Result<std::string> made_with() const;
    [[nodiscard]] Result<void> is_whole(std::string_view made_with) const;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

private:
    [[nodiscard]] std::filesystem::path marker() const;

    Root root_;
    std::filesystem::path path_;
};

} // namespace agent
