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
    TempRoot() {
        std::string pattern = (std::filesystem::temp_directory_path() / "agent-test.XXXXXX").string();
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

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] Root root() const { return Root{path_}; }

private:
    std::filesystem::path path_;
};

} // namespace agent::test
