#include "agent/steps/install_progress.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace agent {
namespace {

constexpr std::size_t longest = 120;
constexpr std::uint64_t kib_in_mib = 1024;

// "16.1MiB", "812.0KiB" and "1.2GiB", as uv writes them; 0: something else.
std::uint64_t kibibytes(std::string_view size) {
    constexpr std::array<std::pair<std::string_view, std::uint64_t>, 3> units{
        {{"KiB", 1}, {"MiB", kib_in_mib}, {"GiB", kib_in_mib * kib_in_mib}}};
    for (const auto& [unit, factor] : units) {
        if (!size.ends_with(unit))
            continue;
        const auto number = size.substr(0, size.size() - unit.size());
        const auto dot = std::min(number.find('.'), number.size());
        const auto whole = number.substr(0, dot);
        const auto tenth = dot < number.size() ? number.substr(dot + 1) : std::string_view{"0"};
        const auto is_number = [](std::string_view text) {
            return !text.empty() && text.size() < 7 &&
                   text.find_first_not_of("0123456789") == std::string_view::npos;
        };
        if (!is_number(whole) || tenth.size() != 1 || !is_number(tenth))
            return 0;
        return std::stoul(std::string{whole}) * factor +
               std::stoul(std::string{tenth}) * factor / 10;
    }
    return 0;
}

std::string mebibytes(std::uint64_t kib) {
    return std::to_string((kib + kib_in_mib / 2) / kib_in_mib) + " MiB";
}

} // namespace

bool is_milestone(std::string_view line, std::span<const std::string_view> milestones) {
    return std::any_of(milestones.begin(), milestones.end(), [&](auto opening) {
        return line.starts_with(opening);
    });
}

std::string InstallProgress::downloads() const {
    const std::size_t all = there_ + coming_.size();
    return "downloaded " + std::to_string(there_) + " of " + std::to_string(all) +
           " large files, " + mebibytes(there_kib_) + " of " + mebibytes(all_kib_) +
           (packages_.empty() ? "" : "; " + packages_ + " in all");
}

std::optional<std::string> InstallProgress::heard(std::string_view line) {
    constexpr std::string_view downloading = "Downloading ";
    constexpr std::string_view downloaded = "Downloaded ";
    constexpr std::string_view resolved = "Resolved ";
    const std::string_view text = trim(line);
    // uv: "Downloading numpy (16.1MiB)", then "Downloaded numpy"; small files are not told.
    if (text.starts_with(downloading) && text.ends_with(')')) {
        const auto rest = text.substr(downloading.size());
        const auto open = rest.rfind(" (");
        if (open != std::string_view::npos)
            if (const auto size = kibibytes(rest.substr(open + 2, rest.size() - open - 3));
                size > 0) {
                coming_[std::string{rest.substr(0, open)}] = size;
                all_kib_ += size;
                return downloads();
            }
    }
    if (text.starts_with(downloaded)) {
        const auto found = coming_.find(text.substr(downloaded.size()));
        if (found == coming_.end())
            return std::nullopt;
        ++there_;
        there_kib_ += found->second;
        coming_.erase(found);
        return downloads();
    }
    if (text.starts_with(resolved))
        packages_ = text.substr(resolved.size(), text.find(" in ") - resolved.size());
    constexpr std::array<std::string_view, 7> milestones{resolved,
                                                         "Prepared ",
                                                         "Installed ",
                                                         downloading,
                                                         "Building ",
                                                         "Collecting ",
                                                         "Installing collected"};
    const bool tells = std::any_of(milestones.begin(), milestones.end(), [&](auto opening) {
        return text.starts_with(opening);
    });
    return tells ? std::optional{printable(text, longest)} : std::nullopt;
}

} // namespace agent
