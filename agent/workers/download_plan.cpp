#include "agent/workers/download_plan.hpp"

#include "agent/base/document.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include <time.h>

namespace agent {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::int64_t state_version = 1;
constexpr std::size_t longest_etag = 512;
constexpr std::uint64_t longest_wait = 86'400; // seconds

std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || failure != std::errc{} || end != text.data() + text.size())
        return std::nullopt;
    return number;
}

std::optional<system_clock::time_point> parse_http_date(const std::string& text) {
    constexpr std::array formats{
        "%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %d %H:%M:%S %Y"};
    for (const char* format : formats) {
        std::tm parts{};
        const char* end = ::strptime(text.c_str(), format, &parts);
        if (end && *end == '\0')
            return system_clock::from_time_t(::timegm(&parts));
    }
    return std::nullopt;
}

bool may_pass(unsigned status) {
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

const char* meaning(unsigned status) {
    switch (status) {
    case 400:
        return " (bad request)";
    case 401:
        return " (a login is asked for)";
    case 403:
        return " (forbidden)";
    case 404:
        return " (not found)";
    case 407:
        return " (the proxy asks for a login)";
    case 410:
        return " (gone)";
    case 429:
        return " (too many requests)";
    case 503:
        return " (unavailable)";
    default:
        return "";
    }
}

DownloadFailure failure(Trouble trouble, Error error) {
    return {trouble, std::move(error), {}};
}

} // namespace

void Coverage::add(Span span) {
    if (span.from >= span.to)
        return;
    auto at = std::find_if(
        spans_.begin(), spans_.end(), [&](const Span& one) { return one.to >= span.from; });
    while (at != spans_.end() && at->from <= span.to) {
        span = {std::min(span.from, at->from), std::max(span.to, at->to)};
        at = spans_.erase(at);
    }
    spans_.insert(at, span);
}

void Coverage::remove(Span span) {
    if (span.from >= span.to)
        return;
    std::vector<Span> kept;
    for (const Span& one : spans_) {
        if (one.from < std::min(one.to, span.from))
            kept.push_back({one.from, std::min(one.to, span.from)});
        if (std::max(one.from, span.to) < one.to)
            kept.push_back({std::max(one.from, span.to), one.to});
    }
    spans_ = std::move(kept);
}

std::uint64_t Coverage::front() const {
    return spans_.empty() || spans_.front().from > 0 ? 0 : spans_.front().to;
}

std::uint64_t Coverage::count() const {
    std::uint64_t sum = 0;
    for (const Span& one : spans_)
        sum += one.to - one.from;
    return sum;
}

std::optional<Span> Coverage::gap(std::uint64_t from, std::uint64_t size) const {
    std::uint64_t to = size;
    for (const Span& one : spans_) {
        if (one.to <= from)
            continue;
        if (one.from > from) {
            to = std::min(to, one.from);
            break;
        }
        from = one.to;
    }
    return from < to ? std::optional{Span{from, to}} : std::nullopt;
}

std::string write_state(const DownloadState& state) {
    Value::Array have;
    for (const Span& span : state.have)
        have.emplace_back(
            Value::Array{static_cast<std::int64_t>(span.from), static_cast<std::int64_t>(span.to)});
    return write_json(Value::Object{{"version", state_version, {}},
                                    {"source", state.source, {}},
                                    {"sha256", state.sha256, {}},
                                    {"etag", state.etag, {}},
                                    {"size", static_cast<std::int64_t>(state.size), {}},
                                    {"have", std::move(have), {}}});
}

std::optional<DownloadState> read_state(std::string_view json) {
    const auto value = parse_json(json);
    if (!value || value->integer_or("version", 0) != state_version)
        return std::nullopt;
    DownloadState state;
    state.source = value->string_or("source", "");
    state.sha256 = value->string_or("sha256", "");
    state.etag = value->string_or("etag", "");
    const auto size = value->integer_or("size", -1);
    const Value* have = value->find("have");
    if (size < 0 || !is_strong_etag(state.etag) || !have || !have->as_array())
        return std::nullopt;
    state.size = static_cast<std::uint64_t>(size);
    std::int64_t behind = 0;
    for (const auto& span : *have->as_array()) {
        const auto* ends = span.as_array();
        const auto* from = ends && ends->size() == 2 ? ends->front().as_integer() : nullptr;
        const auto* to = from ? ends->back().as_integer() : nullptr;
        if (!to || *from < behind || *to <= *from || *to > size)
            return std::nullopt;
        state.have.push_back({static_cast<std::uint64_t>(*from), static_cast<std::uint64_t>(*to)});
        behind = *to;
    }
    return state;
}

std::string DownloadRequest::range() const {
    std::string text = "bytes=" + std::to_string(span.from) + "-";
    if (span.to != open_end)
        text += std::to_string(span.to - 1);
    return text;
}

DownloadPlan::DownloadPlan(const DownloadOrder& order)
    : source_{sha256_hex(order.url.substr(0, order.url.find('?')))}, sha256_{order.sha256},
      wanted_size_{order.size}, largest_{order.largest}, parallel_{order.parallel},
      parallel_from_{order.parallel_from}, chunk_{order.chunk},
      retry_after_cap_{order.retry_after_cap} {}

void DownloadPlan::resume(DownloadState state) {
    if (state.source != source_ || state.sha256 != sha256_ || state.size > largest_ ||
        (wanted_size_ && *wanted_size_ != state.size))
        return;
    for (const Span& span : state.have)
        coverage_.add(span);
    size_ = state.size;
    etag_ = std::move(state.etag);
}

void DownloadPlan::start_again() {
    coverage_.clear();
    claimed_.clear();
    size_.reset();
    etag_.clear();
    is_html_ = false;
    if (ranges_ == Ranges::proven)
        ranges_ = Ranges::untried;
}

unsigned DownloadPlan::lanes() const {
    const bool pays = ranges_ == Ranges::proven && size_ && *size_ >= parallel_from_;
    return pays ? parallel_ : 1;
}

std::optional<DownloadRequest> DownloadPlan::next() {
    DownloadRequest request;
    if (!can_go_on()) {
        if (!claimed_.spans().empty() || complete())
            return std::nullopt;
        request.ranged = ranges_ == Ranges::untried && parallel_ > 1;
        request.span = {0, request.ranged ? chunk_ : DownloadRequest::open_end};
        // Whatever was claimed is all there is until a size is known.
        claimed_.add({0, DownloadRequest::open_end});
        return request;
    }
    auto gap = first_unclaimed();
    if (!gap)
        return std::nullopt;
    if (lanes() > 1) {
        // Smaller ones towards the end, so that all lanes come to it together.
        const std::uint64_t left = *size_ - taken().count();
        const std::uint64_t share = std::clamp(left / lanes(), chunk_ / 8 + 1, chunk_);
        gap->to = std::min(gap->to, gap->from + share);
    }
    request.span = *gap;
    request.ranged = true;
    request.if_range = etag_;
    claimed_.add(*gap);
    return request;
}

Coverage DownloadPlan::taken() const {
    Coverage all = coverage_;
    for (const Span& span : claimed_.spans())
        all.add(span);
    return all;
}

std::optional<Span> DownloadPlan::first_unclaimed() const {
    return taken().gap(0, size_.value_or(0));
}

bool DownloadPlan::has_unclaimed() const {
    return can_go_on() && first_unclaimed();
}

void DownloadPlan::release(const DownloadRequest& request) {
    if (request.if_range.empty() && ranges_ != Ranges::proven)
        claimed_.clear();
    else
        claimed_.remove(request.span);
}

std::optional<DownloadFailure> DownloadPlan::wrong_size(const DownloadHead& head,
                                                        std::uint64_t offered) const {
    if (wanted_size_ && offered != *wanted_size_)
        return failure(Trouble::wrong,
                       permanent(head.peer + " offers " + std::to_string(offered) + " bytes" +
                                 (is_html_ ? " of HTML, a page for people" : "") + ", expected " +
                                 std::to_string(*wanted_size_)));
    if (offered > largest_)
        return failure(Trouble::final,
                       permanent(head.peer + " offers " + shown_bytes(offered) +
                                 ", more than the " + shown_bytes(largest_) + " that are allowed"));
    return std::nullopt;
}

void DownloadPlan::distrust_parts() {
    ranges_ = Ranges::refused;
    resumable_ = false;
}

Verdict DownloadPlan::not_the_same(const DownloadHead& head, std::string_view why) {
    distrust_parts();
    return failure(Trouble::changed, transient(head.peer + " " + std::string{why}));
}

Verdict DownloadPlan::whole(const DownloadHead& head) {
    if (head.content_length)
        if (auto wrong = wrong_size(head, *head.content_length))
            return *wrong;
    size_ = head.content_length;
    etag_ = resumable_ && is_strong_etag(head.etag) ? head.etag : "";
    ranges_ = Ranges::refused;
    return TakeBody{{0, size_.value_or(DownloadRequest::open_end)}, size_};
}

Verdict DownloadPlan::part(const DownloadRequest& request, const DownloadHead& head) {
    const auto range = parse_content_range(head.content_range);
    const bool fits =
        range && range->first.from == request.span.from && range->first.to <= request.span.to &&
        (!head.content_length || *head.content_length == range->first.to - range->first.from);
    if (!request.ranged || !fits)
        return not_the_same(head, "answered 206 with other bytes than were asked for");
    const auto [span, size] = *range;
    if (request.if_range.empty()) {
        if (!is_strong_etag(head.etag)) {
            ranges_ = Ranges::refused;
            return AskPlainly{};
        }
        if (auto wrong = wrong_size(head, size))
            return *wrong;
        size_ = size;
        etag_ = head.etag;
        claimed_.remove({request.span.to, DownloadRequest::open_end});
    } else if (head.etag != request.if_range || !size_ || size != *size_) {
        return not_the_same(head, "has another file there by now");
    }
    ranges_ = Ranges::proven;
    return TakeBody{span, size};
}

Verdict DownloadPlan::refusal(const DownloadHead& head, system_clock::time_point now) const {
    const std::string said =
        head.peer + " answered " + std::to_string(head.status) + meaning(head.status);
    if (may_pass(head.status))
        return DownloadFailure{Trouble::busy,
                               transient(said),
                               parse_retry_after(head.retry_after, now, retry_after_cap_)};
    return failure(Trouble::final, permanent(said, "look at the URL, then `agent retry`"));
}

Verdict DownloadPlan::judge(const DownloadRequest& request,
                            const DownloadHead& head,
                            system_clock::time_point now) {
    const auto is_redirect = [](unsigned status) {
        return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    };
    if (is_redirect(head.status)) {
        if (head.location.empty())
            return failure(Trouble::final,
                           permanent(head.peer + " redirects without saying where to"));
        return FollowRedirect{head.location};
    }
    if (head.status == 200 || head.status == 206)
        is_html_ = lower(head.content_type).starts_with("text/html");
    if (head.status == 206)
        return part(request, head);
    if (head.status == 200) {
        if (request.if_range.empty())
            return whole(head);
        return not_the_same(head, "has another file there by now, or gives no part of it");
    }
    if (request.ranged && (head.status == 416 || head.status == 412)) {
        if (!request.if_range.empty())
            return not_the_same(head, "has another file there by now");
        ranges_ = Ranges::refused;
        return AskPlainly{};
    }
    return refusal(head, now);
}

std::optional<DownloadState> DownloadPlan::state() const {
    if (!can_go_on() || coverage_.spans().empty())
        return std::nullopt;
    return DownloadState{source_, sha256_, etag_, *size_, coverage_.spans()};
}

std::variant<milliseconds, Error>
Patience::after(const DownloadFailure& failure, std::uint64_t gained, double random) {
    if (gained >= gain_that_counts)
        in_a_row_ = 0;
    const auto give_up = [&](unsigned times) {
        Error error = failure.error;
        if (times > 1)
            error.message += " (tried " + std::to_string(times) + " times)";
        return error;
    };
    const auto pause = [&](unsigned attempt) {
        return failure.wait.value_or(backoff_.delay(attempt, random));
    };
    switch (failure.trouble) {
    case Trouble::cut_short:
        if (++cut_short_ > most_cut_short)
            return give_up(cut_short_);
        return pause(cut_short_);
    case Trouble::wrong:
        if (++wrong_ > most_wrong)
            return give_up(wrong_);
        return pause(wrong_);
    case Trouble::changed:
        if (++changed_ > most_changed)
            return give_up(changed_);
        return milliseconds{0};
    case Trouble::unreachable:
    case Trouble::busy:
    case Trouble::stalled:
        if (++in_a_row_ >= most_in_a_row)
            return give_up(in_a_row_);
        return pause(in_a_row_);
    case Trouble::final:
    case Trouble::abandoned:
        break;
    }
    return give_up(1);
}

std::optional<std::pair<Span, std::uint64_t>> parse_content_range(std::string_view text) {
    text = trim(text);
    if (lower(text.substr(0, 6)) != "bytes ")
        return std::nullopt;
    text.remove_prefix(6);
    const auto dash = text.find('-');
    const auto slash = text.find('/');
    if (dash == std::string_view::npos || slash == std::string_view::npos || dash > slash)
        return std::nullopt;
    const auto first = whole_number(text.substr(0, dash));
    const auto last = whole_number(text.substr(dash + 1, slash - dash - 1));
    const auto size = whole_number(text.substr(slash + 1));
    if (!first || !last || !size || *first > *last || *last >= *size)
        return std::nullopt;
    return std::pair{Span{*first, *last + 1}, *size};
}

std::optional<milliseconds>
parse_retry_after(std::string_view text, system_clock::time_point now, milliseconds cap) {
    const std::string value{trim(text)};
    if (!value.empty() && value.find_first_not_of("0123456789") == std::string::npos) {
        const auto seconds = whole_number(value).value_or(longest_wait);
        return std::min(cap, milliseconds{1000 * std::min(seconds, longest_wait)});
    }
    if (const auto date = parse_http_date(value))
        return std::clamp(
            std::chrono::duration_cast<milliseconds>(*date - now), milliseconds{0}, cap);
    return std::nullopt;
}

bool is_strong_etag(std::string_view etag) {
    return etag.size() >= 2 && etag.size() <= longest_etag && etag.front() == '"' &&
           etag.back() == '"' && etag.find('"', 1) == etag.size() - 1 &&
           std::all_of(etag.begin(), etag.end(), [](char c) { return c > ' ' && c != '\x7F'; });
}

} // namespace agent
