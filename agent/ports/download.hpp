// Owns what a step and the fetching worker say to each other: the order on standard input, the
// lines on standard output; and the words for what goes wrong with a download.
#pragma once

#include "agent/base/backoff.hpp"
#include "agent/base/error.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace agent {

struct DownloadOrder {
    std::string url; // https; user, password and query are said to nobody
    std::string sha256;
    std::optional<std::uint64_t> size; // when it is known beforehand; another one is refused
    std::uint64_t largest = std::uint64_t{1} << 40;
    // The worker's own directory; beside `name` it keeps NAME.part, NAME.state and NAME.rejected.
    std::filesystem::path directory;
    std::string name;

    std::string proxy; // "http://host:port" or https://; empty: none
    std::vector<std::string> no_proxy;
    std::filesystem::path ca_certificates; // a PEM bundle; empty: the system's

    unsigned parallel = 4;                                 // connections at most
    std::uint64_t parallel_from = std::uint64_t{64} << 20; // smaller files come over one
    std::uint64_t chunk = std::uint64_t{16} << 20;         // what one of several asks for at a time

    std::chrono::milliseconds head_timeout{std::chrono::seconds{30}}; // connecting until the head
    std::chrono::milliseconds idle_timeout{std::chrono::seconds{60}}; // without a byte
    std::chrono::milliseconds checkpoint{std::chrono::seconds{5}};    // between two durable states
    std::chrono::milliseconds retry_after_cap{std::chrono::seconds{30}};
    Backoff backoff;
};

[[nodiscard]] std::string write_order(const DownloadOrder& order);
// Misconfigured when something is missing or out of range; the message quotes no value.
[[nodiscard]] Result<DownloadOrder> read_order(std::string_view json);

// What root does with a file that came: a copy that nobody else can write, verified as it is made.
struct AdoptOrder {
    std::filesystem::path from; // empty: only look whether `to` is the file already
    std::filesystem::path to;
    std::string sha256;
    std::uint64_t size = 0;
    std::uint32_t mode = 0644;
};
[[nodiscard]] std::string write_order(const AdoptOrder& order);
[[nodiscard]] Result<AdoptOrder> read_adopt_order(std::string_view json);

// One line each. Exactly one outcome, the last line.
struct DownloadProgress {
    std::uint64_t bytes = 0; // that are there, also from earlier runs
    std::optional<std::uint64_t> size;
};
struct DownloadNote { // something that was got over: "…: 503, again in 0.4 s"
    std::string text;
};
struct DownloadOutcome {
    std::uint64_t size = 0;
    std::uint64_t received = 0; // over the network, in this run
    std::optional<Error> error;
};
using DownloadLine = std::variant<DownloadProgress, DownloadNote, DownloadOutcome>;

[[nodiscard]] std::string write_line(const DownloadLine& line);
[[nodiscard]] std::optional<DownloadLine> read_line(std::string_view text);

// "120 of 500 MB", "120 MB" while the size is not known.
[[nodiscard]] std::string shown(const DownloadProgress& progress);
// "1.4 GB", "120 MB", "8 kB", "12 bytes"
[[nodiscard]] std::string shown_bytes(std::uint64_t bytes);

// What went wrong with one exchange, by what follows from it.
enum class Trouble {
    unreachable, // names, connections, time-outs before the first byte: again later
    busy,        // the server says: later (408, 425, 429, 5xx)
    stalled,     // no byte for too long
    cut_short,   // the body ended before its end
    changed,     // it is not the file any more whose beginning we have, or ranges are lied about
    wrong,       // a complete body that is not the one wanted
    final,       // trying again will not help
    abandoned,   // we closed it ourselves
};

struct DownloadFailure {
    Trouble trouble = Trouble::final;
    Error error;
    std::optional<std::chrono::milliseconds> wait; // what the server asked for, capped
};
template <class T> using DownloadResult = boost::system::result<T, DownloadFailure>;

} // namespace agent
