#include "agent/report/guest_write_record.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/guest_attributes.hpp"

#include <charconv>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace agent {
namespace {

using std::chrono::microseconds;

constexpr std::size_t size_limit = 4096;

// A line each: microseconds of the kernel's monotonic clock, which all processes of a boot share.
std::optional<std::vector<Monotonic>> parse(std::string_view text) {
    std::vector<Monotonic> writes;
    for (const auto& line : split(text, '\n')) {
        if (line.empty())
            continue;
        microseconds::rep since = 0;
        const char* const end = line.data() + line.size();
        const auto [rest, failed] = std::from_chars(line.data(), end, since);
        if (failed != std::errc{} || rest != end)
            return std::nullopt;
        writes.emplace_back(microseconds{since});
    }
    return writes;
}

} // namespace

std::vector<Monotonic> GuestWriteRecord::earlier(Monotonic now) const {
    const auto text = read_file(root_ / layout::guest_writes_file, size_limit);
    if (auto writes = text && *text ? parse(**text) : std::nullopt) {
        std::erase_if(*writes, [now](Monotonic write) { return write > now; });
        return std::move(*writes);
    }
    std::error_code failure;
    if (!std::filesystem::exists(root_ / layout::ledger_directory, failure))
        return {};
    constexpr auto lent = GuestAttributeSchedule::lent_to_the_boot_before;
    return std::vector<Monotonic>(lent, now - GuestAttributeSchedule::gap);
}

Result<void> GuestWriteRecord::remember(const std::vector<Monotonic>& writes) const {
    std::string text;
    for (const auto write : writes)
        text += std::to_string(
                    std::chrono::duration_cast<microseconds>(write.time_since_epoch()).count()) +
                "\n";
    auto written = durable_write(
        root_ / layout::guest_writes_file, text, {.mode = 0600}, Durability::ephemeral);
    if (!written)
        return context(written.error(), "recording when guest attributes were written");
    return {};
}

} // namespace agent
