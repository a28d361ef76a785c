// Owns a temporary directory that stands for the machine's root in a test.
#pragma once

#include "agent/base/files.hpp"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace agent::test {

class TempRoot {
public:
    TempRoot() : TempRoot{std::filesystem::temp_directory_path()} {}
    explicit TempRoot(const std::filesystem::path& parent) {
        std::string pattern = (parent / "agent-test.XXXXXX").string();
        if (!::mkdtemp(pattern.data()))
            throw std::runtime_error{"mkdtemp failed"};
        path_ = pattern;
    }
    TempRoot(const TempRoot&) = delete;
    TempRoot& operator=(const TempRoot&) = delete;
    ~TempRoot() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    // A place where syncing costs nothing, for tests that write a great deal.
    static std::filesystem::path in_memory() {
        return std::filesystem::is_directory("/dev/shm") ? "/dev/shm"
                                                         : std::filesystem::temp_directory_path();
    }

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] Root root() const { return Root{path_}; }

private:
    std::filesystem::path path_;
};

} // namespace agent::test
