// Owns how an installer's output becomes what people see of it: which lines say how far it is, and
// how many files and bytes are there of those that come. Each installer has its own words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace agent {

// Whether a line begins as one of those that tell people how far it is.
[[nodiscard]] bool is_milestone(std::string_view line,
                                std::span<const std::string_view> milestones);

class InstallProgress {
public:
    // One line of uv's or pip's. What to show now, bounded; nullopt: it is for the log alone.
    [[nodiscard]] std::optional<std::string> heard(std::string_view line);

private:
    [[nodiscard]] std::string downloads() const;

    std::map<std::string, std::uint64_t, std::less<>> coming_; // name → KiB
    std::size_t there_ = 0;
    std::uint64_t all_kib_ = 0;
    std::uint64_t there_kib_ = 0;
    std::string packages_; // "100 packages", of uv's resolution
};

} // namespace agent
