// Owns the worker that looks at, and completes, what the user's shells read when they start: runs
// as the user, for the files are his.
#pragma once

#include <filesystem>
#include <ostream>

namespace agent {

// One JSON line: {"bash":"here"|"other"|"none", "zsh":…, "fish":…, "commands":…, "login":…}:
// whether each shell initialises the conda at the prefix, another one or none; whether a command
// over ssh finds it as well; whether a login bash reads ~/.bashrc. Exit 0 also when there is
// nothing.
int look_at_shell_files(const std::filesystem::path& home,
                        const std::filesystem::path& prefix,
                        std::ostream& out);

// Makes `commands` and `login` true, and leaves a file that says so as it is. What cannot be
// written is said on `err`, exit 1.
int complete_shell_files(const std::filesystem::path& home,
                         const std::filesystem::path& prefix,
                         std::ostream& err);

} // namespace agent
