#include "agent/ports/download.hpp"

#include "agent/base/document.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/told_error.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace agent {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t longest_time = 86'400'000;
constexpr std::size_t longest_next = 400;
constexpr std::uint64_t kilobyte = 1000;
constexpr std::uint64_t megabyte = 1000 * kilobyte;
constexpr std::uint64_t gigabyte = 1000 * megabyte;

struct Number {
    const char* key;
    std::int64_t least;
    std::int64_t most;
};

// Absent: the fallback. Anything else that is no number within the bounds: nothing.
std::optional<std::int64_t> number(const Value& order, const Number& rule, std::int64_t fallback) {
    const Value* value = order.find(rule.key);
    if (!value || std::holds_alternative<std::nullptr_t>(value->data))
        return fallback;
    const auto* found = value->as_integer();
    if (!found || *found < rule.least || *found > rule.most)
        return std::nullopt;
    return *found;
}

Result<void> take(const Value& order, const Number& rule, std::uint64_t& into) {
    const auto found = number(order, rule, static_cast<std::int64_t>(into));
    if (!found)
        return misconfigured(std::string{"the order's "} + rule.key + " is out of range");
    into = static_cast<std::uint64_t>(*found);
    return {};
}

Result<void> take(const Value& order, const char* key, milliseconds& into, std::int64_t least = 1) {
    const auto found = number(order, {key, least, longest_time}, into.count());
    if (!found)
        return misconfigured(std::string{"the order's "} + key + " is out of range");
    into = milliseconds{*found};
    return {};
}

bool is_sha256(std::string_view text) {
    return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
           });
}

// One component that says what it is and cannot leave its directory.
bool is_file_name(std::string_view name) {
    return !name.empty() && name.size() <= 200 && name.front() != '.' && name.front() != '-' &&
           std::all_of(name.begin(), name.end(), [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '.' || c == '-' || c == '_' || c == '+';
           });
}

constexpr std::int64_t no_limit = std::numeric_limits<std::int64_t>::max();

Result<void> read_numbers(const Value& order, DownloadOrder& into) {
    std::uint64_t size = 0;
    std::uint64_t parallel = into.parallel;
    if (const Value* given = order.find("size");
        given && !std::holds_alternative<std::nullptr_t>(given->data)) {
        if (auto taken = take(order, {"size", 0, no_limit}, size); !taken)
            return taken;
        into.size = size;
    }
    const std::array numbers{
        take(order, {"largest", 1, no_limit}, into.largest),
        take(order, {"parallel", 1, 16}, parallel),
        take(order, {"parallel_from", 1, no_limit}, into.parallel_from),
        take(order, {"chunk", 4096, no_limit}, into.chunk),
        take(order, "head_ms", into.head_timeout),
        take(order, "idle_ms", into.idle_timeout),
        take(order, "checkpoint_ms", into.checkpoint),
        take(order, "retry_after_cap_ms", into.retry_after_cap),
        take(order, "backoff_first_ms", into.backoff.first),
        take(order, "backoff_longest_ms", into.backoff.longest),
    };
    into.parallel = static_cast<unsigned>(parallel);
    const auto* const wrong = std::find_if(
        numbers.begin(), numbers.end(), [](const auto& taken) { return taken.has_error(); });
    return wrong == numbers.end() ? Result<void>{} : *wrong;
}

std::int64_t whole(std::uint64_t value) {
    return static_cast<std::int64_t>(std::min(value, std::uint64_t{no_limit}));
}

Value optional_number(std::optional<std::uint64_t> value) {
    return value ? Value{whole(*value)} : Value{nullptr};
}

std::optional<std::uint64_t> number_or_nothing(const Value& object, const std::string& key) {
    const Value* value = object.find(key);
    if (!value || !value->as_integer() || *value->as_integer() < 0)
        return std::nullopt;
    return static_cast<std::uint64_t>(*value->as_integer());
}

Value object_of(const DownloadProgress& progress) {
    return Value::Object{{"bytes", whole(progress.bytes), {}},
                         {"size", optional_number(progress.size), {}}};
}

Value object_of(const DownloadOutcome& outcome) {
    Value::Object object{{"ok", !outcome.error, {}}};
    if (outcome.error) {
        add_error(object, *outcome.error);
    } else {
        object.push_back({"size", whole(outcome.size), {}});
    }
    object.push_back({"received", whole(outcome.received), {}});
    return object;
}

std::string in_unit(std::uint64_t bytes, std::uint64_t unit) {
    std::string text = std::to_string(bytes / unit);
    if (unit == gigabyte)
        text += "." + std::to_string(bytes % unit / (unit / 10));
    return text;
}

struct Unit {
    std::uint64_t bytes;
    const char* name;
};

Unit unit_for(std::uint64_t bytes) {
    if (bytes >= gigabyte)
        return {gigabyte, " GB"};
    if (bytes >= megabyte)
        return {megabyte, " MB"};
    if (bytes >= kilobyte)
        return {kilobyte, " kB"};
    return {1, " bytes"};
}

} // namespace

std::string write_order(const DownloadOrder& order) {
    Value::Array direct;
    for (const auto& name : order.no_proxy)
        direct.emplace_back(name);
    return write_json(Value::Object{
        {"url", order.url, {}},
        {"sha256", order.sha256, {}},
        {"size", optional_number(order.size), {}},
        {"largest", whole(order.largest), {}},
        {"directory", order.directory.string(), {}},
        {"name", order.name, {}},
        {"proxy", order.proxy, {}},
        {"no_proxy", std::move(direct), {}},
        {"ca_certificates", order.ca_certificates.string(), {}},
        {"parallel", std::int64_t{order.parallel}, {}},
        {"parallel_from", whole(order.parallel_from), {}},
        {"chunk", whole(order.chunk), {}},
        {"head_ms", std::int64_t{order.head_timeout.count()}, {}},
        {"idle_ms", std::int64_t{order.idle_timeout.count()}, {}},
        {"checkpoint_ms", std::int64_t{order.checkpoint.count()}, {}},
        {"retry_after_cap_ms", std::int64_t{order.retry_after_cap.count()}, {}},
        {"backoff_first_ms", std::int64_t{order.backoff.first.count()}, {}},
        {"backoff_longest_ms", std::int64_t{order.backoff.longest.count()}, {}},
    });
}

Result<DownloadOrder> read_order(std::string_view json) {
    const auto value = parse_json(json);
    // Not the parser's words: they may quote the URL.
    if (!value || !value->as_object())
        return misconfigured("the order is no JSON object");
    DownloadOrder order;
    order.url = value->string_or("url", "");
    order.sha256 = lower(value->string_or("sha256", ""));
    order.directory = value->string_or("directory", "");
    order.name = value->string_or("name", "");
    order.proxy = value->string_or("proxy", "");
    order.ca_certificates = value->string_or("ca_certificates", "");
    if (const Value* direct = value->find("no_proxy"); direct && direct->as_array())
        for (const auto& name : *direct->as_array())
            if (const auto* text = name.as_string())
                order.no_proxy.push_back(*text);
    if (order.url.empty())
        return misconfigured("the order names no url");
    if (!is_sha256(order.sha256))
        return misconfigured("the order's sha256 is not 64 hexadecimal digits");
    if (!order.directory.is_absolute())
        return misconfigured("the order's directory is no absolute path");
    if (!is_file_name(order.name))
        return misconfigured("the order's name is no plain file name");
    if (auto numbers = read_numbers(*value, order); !numbers)
        return numbers.error();
    if (order.size && *order.size > order.largest)
        return misconfigured("the order's size is beyond its largest");
    return order;
}

std::string write_order(const AdoptOrder& order) {
    return write_json(Value::Object{{"from", order.from.string(), {}},
                                    {"to", order.to.string(), {}},
                                    {"sha256", order.sha256, {}},
                                    {"size", whole(order.size), {}},
                                    {"mode", std::int64_t{order.mode}, {}}});
}

Result<AdoptOrder> read_adopt_order(std::string_view json) {
    const auto value = parse_json(json);
    if (!value || !value->as_object())
        return misconfigured("the order is no JSON object");
    AdoptOrder order;
    order.from = value->string_or("from", "");
    order.to = value->string_or("to", "");
    order.sha256 = lower(value->string_or("sha256", ""));
    if (!order.to.is_absolute() || (!order.from.empty() && !order.from.is_absolute()))
        return misconfigured("the order's paths are not absolute");
    if (!is_sha256(order.sha256))
        return misconfigured("the order's sha256 is not 64 hexadecimal digits");
    std::uint64_t mode = order.mode;
    if (auto taken = take(*value, {"size", 0, no_limit}, order.size); !taken)
        return taken.error();
    if (auto taken = take(*value, {"mode", 0, 0777}, mode); !taken)
        return taken.error();
    order.mode = static_cast<std::uint32_t>(mode);
    return order;
}

std::string write_line(const DownloadLine& line) {
    Value::Object object;
    if (const auto* progress = std::get_if<DownloadProgress>(&line))
        object.push_back({"progress", object_of(*progress), {}});
    else if (const auto* note = std::get_if<DownloadNote>(&line))
        object.push_back({"note", note->text, {}});
    else
        object.push_back({"outcome", object_of(std::get<DownloadOutcome>(line)), {}});
    return write_json(std::move(object));
}

std::optional<DownloadLine> read_line(std::string_view text) {
    const auto value = parse_json(text);
    if (!value)
        return std::nullopt;
    if (const Value* note = value->find("note"); note && note->as_string())
        return DownloadNote{*note->as_string()};
    if (const Value* progress = value->find("progress"); progress && progress->as_object())
        return DownloadProgress{number_or_nothing(*progress, "bytes").value_or(0),
                                number_or_nothing(*progress, "size")};
    const Value* outcome = value->find("outcome");
    const Value* ok = outcome ? outcome->find("ok") : nullptr;
    if (!ok || !ok->as_bool())
        return std::nullopt;
    DownloadOutcome found;
    found.size = number_or_nothing(*outcome, "size").value_or(0);
    found.received = number_or_nothing(*outcome, "received").value_or(0);
    if (!*ok->as_bool())
        found.error = told_error(*outcome, longest_next);
    return found;
}

std::string shown_bytes(std::uint64_t bytes) {
    const Unit unit = unit_for(bytes);
    return in_unit(bytes, unit.bytes) + unit.name;
}

std::string shown(const DownloadProgress& progress) {
    if (!progress.size)
        return shown_bytes(progress.bytes);
    const Unit unit = unit_for(*progress.size);
    return in_unit(progress.bytes, unit.bytes) + " of " + in_unit(*progress.size, unit.bytes) +
           unit.name;
}

} // namespace agent
