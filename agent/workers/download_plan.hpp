// Owns the decisions of a download: what to ask for next, what an answer means, what is there,
// whether and when to try again. Pure: it waits for nothing, the caller supplies time and
// randomness.
#pragma once

#include "agent/base/error.hpp"
#include "agent/ports/download.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace agent {

struct Span {
    std::uint64_t from = 0;
    std::uint64_t to = 0; // behind the last byte
    friend bool operator==(const Span&, const Span&) = default;
};

// A set of bytes: disjoint spans in order, none beside the next.
class Coverage {
public:
    void add(Span span);
    void remove(Span span);
    void clear() { spans_.clear(); }
    [[nodiscard]] std::uint64_t front() const; // so many are there from the beginning on
    [[nodiscard]] std::uint64_t count() const;
    [[nodiscard]] const std::vector<Span>& spans() const { return spans_; }
    // The first span from `from` on that is not in the set, ending at `size` at the latest.
    [[nodiscard]] std::optional<Span> gap(std::uint64_t from, std::uint64_t size) const;

private:
    std::vector<Span> spans_;
};

// What lies beside the partial file, so that another run can go on.
struct DownloadState {
    std::string source; // SHA-256 of the URL without its query, which signs and dates
    std::string sha256; // that is wanted
    std::string etag;   // strong
    std::uint64_t size = 0;
    std::vector<Span> have;
};
[[nodiscard]] std::string write_state(const DownloadState& state);
// nullopt for whatever is not whole: it is only a way to save time.
[[nodiscard]] std::optional<DownloadState> read_state(std::string_view json);

struct DownloadRequest {
    Span span;           // to == open_end: to the end, whatever its size
    bool ranged = false; // sent as a Range
    std::string if_range;

    static constexpr std::uint64_t open_end = UINT64_MAX;
    [[nodiscard]] std::string range() const; // the header's value
};

// What decisions need of an answer's head.
struct DownloadHead {
    std::string peer; // who answered, for messages
    unsigned status = 0;
    std::optional<std::uint64_t> content_length;
    std::string content_range;
    std::string content_type;
    std::string etag;
    std::string location;
    std::string retry_after;
};

struct TakeBody { // these bytes follow; `size` of the whole file, when it is known
    Span span;
    std::optional<std::uint64_t> size;
};
struct FollowRedirect {
    std::string location;
};
struct AskPlainly {}; // without Range, at once: no fault, the server just has none for us
using Verdict = std::variant<TakeBody, FollowRedirect, AskPlainly, DownloadFailure>;

class DownloadPlan {
public:
    explicit DownloadPlan(const DownloadOrder& order);

    void resume(DownloadState state);
    // From nothing; no part is asked for any more once parts did not fit.
    void start_again();
    void distrust_parts();

    // Claims what is to be asked for next; nullopt: nothing is left that nobody has claimed.
    [[nodiscard]] std::optional<DownloadRequest> next();
    void release(const DownloadRequest& request);
    [[nodiscard]] bool has_unclaimed() const; // of a file whose size is known

    // `now` for a Retry-After that is a date. A body to take is known of from now on: its size, its
    // ETag.
    [[nodiscard]] Verdict judge(const DownloadRequest& request,
                                const DownloadHead& head,
                                std::chrono::system_clock::time_point now);

    void have(Span span) { coverage_.add(span); }
    // A body of unknown length has come to its end in order.
    void ended_at(std::uint64_t size) { size_ = size; }

    [[nodiscard]] bool complete() const { return size_ && coverage_.front() == *size_; }
    [[nodiscard]] const Coverage& coverage() const { return coverage_; }
    [[nodiscard]] std::optional<std::uint64_t> size() const { return size_; }
    // How many may ask at a time.
    [[nodiscard]] unsigned lanes() const;
    // nullopt: another run could not go on from here.
    [[nodiscard]] std::optional<DownloadState> state() const;
    // The body being taken, or the last one, is a page for people.
    [[nodiscard]] bool looks_like_html() const { return is_html_; }
    // Whether what is there is of use after a failure; else start_again() comes first.
    [[nodiscard]] bool can_go_on() const { return size_ && !etag_.empty(); }

private:
    enum class Ranges { untried, proven, refused };

    [[nodiscard]] Coverage taken() const; // there or claimed
    [[nodiscard]] std::optional<Span> first_unclaimed() const;
    [[nodiscard]] Verdict whole(const DownloadHead& head);
    [[nodiscard]] Verdict part(const DownloadRequest& request, const DownloadHead& head);
    [[nodiscard]] Verdict refusal(const DownloadHead& head,
                                  std::chrono::system_clock::time_point now) const;
    [[nodiscard]] Verdict not_the_same(const DownloadHead& head, std::string_view why);
    [[nodiscard]] std::optional<DownloadFailure> wrong_size(const DownloadHead& head,
                                                            std::uint64_t offered) const;

    std::string source_;
    std::string sha256_;
    std::optional<std::uint64_t> wanted_size_;
    std::uint64_t largest_;
    unsigned parallel_;
    std::uint64_t parallel_from_;
    std::uint64_t chunk_;
    std::chrono::milliseconds retry_after_cap_;

    Ranges ranges_ = Ranges::untried;
    Coverage coverage_;
    Coverage claimed_;
    std::optional<std::uint64_t> size_;
    std::string etag_; // strong, or empty
    bool resumable_ = true;
    bool is_html_ = false;
};

// How often what is borne: a pure count, asked once for each failed round.
class Patience {
public:
    explicit Patience(Backoff backoff) : backoff_{backoff} {}

    // How long to wait before the next attempt, or the Error that ends it. `gained` bytes came
    // since the last failure; `random` is in [0, 1).
    [[nodiscard]] std::variant<std::chrono::milliseconds, Error>
    after(const DownloadFailure& failure, std::uint64_t gained, double random);

    static constexpr unsigned most_in_a_row = 6;
    static constexpr unsigned most_cut_short = 3;
    static constexpr unsigned most_wrong = 1;
    static constexpr unsigned most_changed = 3;
    static constexpr std::uint64_t gain_that_counts = 1 << 20;

private:
    Backoff backoff_;
    unsigned in_a_row_ = 0;
    unsigned cut_short_ = 0;
    unsigned wrong_ = 0;
    unsigned changed_ = 0;
};

// "bytes 0-99/1000" → the span and the size; nullopt for everything else, also an unknown size.
[[nodiscard]] std::optional<std::pair<Span, std::uint64_t>>
parse_content_range(std::string_view text);

// Seconds, or one of RFC 9110's three dates; nullopt: neither. Never negative, never above `cap`.
[[nodiscard]] std::optional<std::chrono::milliseconds>
parse_retry_after(std::string_view text,
                  std::chrono::system_clock::time_point now,
                  std::chrono::milliseconds cap);

[[nodiscard]] bool is_strong_etag(std::string_view etag);

} // namespace agent
