// Owns where the repository lies, for tests that read its examples and their data.
#pragma once

#include <filesystem>
#include <string>

namespace agent::test {

[[nodiscard]] std::filesystem::path repository();
// The whole file, as it is.
[[nodiscard]] std::string content_of(const std::filesystem::path& file);

} // namespace agent::test
