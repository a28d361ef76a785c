#include "agent/workers/fetch.hpp"

#include "agent/base/files.hpp"
#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/host/https_client.hpp"
#include "agent/ports/download.hpp"
#include "agent/ports/https_url.hpp"
#include "agent/workers/download_plan.hpp"
#include "agent/workers/https_settings.hpp"
#include "agent/workers/partial_file.hpp"
#include "agent/workers/work.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace agent {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t order_limit = 65'536;
constexpr int wrong_usage = 64;
constexpr unsigned most_redirects = 5;
constexpr std::size_t piece = 256 * 1024; // written at a time
constexpr auto between_reports = 1s;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

std::string in_seconds(std::chrono::milliseconds time) {
    const auto tenths = (time.count() + 50) / 100;
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

// One download from its order to its outcome. Rounds: in each, one lane and perhaps more ask for
// parts until nothing is left or all have failed; what then follows is Patience's to say.
class Download {
public:
    Download(asio::io_context& io,
             DownloadOrder order,
             HttpsUrl url,
             HttpsClient client,
             PartialFile file,
             std::ostream& out)
        : io_{io}, order_{std::move(order)}, url_{std::move(url)}, client_{std::move(client)},
          file_{std::move(file)}, out_{out}, plan_{order_}, patience_{order_.backoff},
          changed_{io} {}

    asio::awaitable<DownloadOutcome> run();

private:
    asio::awaitable<std::optional<Error>> run_to_the_end();
    Result<void> take_up_earlier();
    asio::awaitable<void> round();
    void start_lane();
    asio::awaitable<void> lane(HttpsConnection& connection);
    asio::awaitable<std::optional<DownloadFailure>> serve(HttpsConnection& connection,
                                                          DownloadRequest request);
    asio::awaitable<std::optional<DownloadFailure>> take(HttpsConnection& connection,
                                                         const TakeBody& body);
    std::optional<DownloadFailure> put(std::uint64_t offset, std::string_view bytes);
    void failed(DownloadFailure failure);
    Result<void> start_again();
    // nullopt: it is whole and right. Of a body of unknown length that was cut, only the hash
    // tells.
    Result<void> hash_what_is_there(const std::function<void()>& after_a_piece);
    Result<std::optional<DownloadFailure>> judge_what_is_there();
    [[nodiscard]] std::string what_is_there() const;

    void say(const DownloadLine& line) { out_ << write_line(line) << '\n' << std::flush; }
    void report() { say(DownloadProgress{plan_.coverage().count(), plan_.size()}); }
    void report_now_and_then();

    asio::io_context& io_;
    DownloadOrder order_;
    HttpsUrl url_;
    HttpsClient client_;
    PartialFile file_;
    std::ostream& out_;
    DownloadPlan plan_;
    Patience patience_;
    std::mt19937_64 random_{std::random_device{}()};

    std::optional<HttpsUrl> redirected_; // where url_ led to, as long as that works
    std::vector<std::unique_ptr<HttpsConnection>> connections_;
    unsigned lanes_ = 0;
    asio::steady_timer changed_;             // cancelled when a lane ends
    std::optional<DownloadFailure> failure_; // the worst of this round
    std::exception_ptr bug_;
    std::uint64_t received_ = 0;
    std::uint64_t received_before_ = 0; // at the last failure
    bool ended_in_order_ = false;       // a body of unknown length
    Clock::time_point reported_;
};

// The more it asks for, the worse; of equals the first.
int weight(Trouble trouble) {
    switch (trouble) {
    case Trouble::final:
        return 5;
    case Trouble::wrong:
        return 4;
    case Trouble::changed:
        return 3;
    case Trouble::cut_short:
        return 2;
    case Trouble::unreachable:
    case Trouble::busy:
    case Trouble::stalled:
        return 1;
    case Trouble::abandoned:
        break;
    }
    return 0;
}

void Download::report_now_and_then() {
    const auto now = Clock::now();
    if (now - reported_ < between_reports)
        return;
    reported_ = now;
    report();
}

std::optional<DownloadFailure> final_failure(const Result<void>& result) {
    if (result)
        return std::nullopt;
    return DownloadFailure{Trouble::final, result.error(), {}};
}

void Download::failed(DownloadFailure failure) {
    const bool is_new = !failure_ || weight(failure.trouble) > weight(failure_->trouble);
    if (failure.trouble == Trouble::abandoned || !is_new)
        return;
    // Nothing that the others still fetch is of use.
    if (weight(failure.trouble) >= weight(Trouble::changed))
        for (const auto& connection : connections_)
            connection->close();
    failure_ = std::move(failure);
}

std::optional<DownloadFailure> Download::put(std::uint64_t offset, std::string_view bytes) {
    if (bytes.empty())
        return std::nullopt;
    auto written = file_.write(offset, bytes);
    if (!written)
        return final_failure(written);
    plan_.have({offset, offset + bytes.size()});
    if (plan_.coverage().front() > file_.hashed())
        if (auto hashed = file_.hash_towards(plan_.coverage().front()); !hashed)
            return DownloadFailure{Trouble::final, hashed.error(), {}};
    return std::nullopt;
}

asio::awaitable<std::optional<DownloadFailure>> Download::take(HttpsConnection& connection,
                                                               const TakeBody& body) {
    std::vector<char> buffer(piece);
    std::uint64_t at = body.span.from;
    std::size_t filled = 0;
    std::optional<DownloadFailure> failure;
    const bool is_part = body.span.to != DownloadRequest::open_end;
    bool ended = false;
    while (!ended && !failure) {
        auto got = co_await connection.read(std::span{buffer}.subspan(filled));
        if (!got)
            failure = got.error();
        else
            filled += *got;
        if (got)
            received_ += *got;
        ended = got && *got == 0;
        if (!ended && !failure && filled < buffer.size())
            continue;
        if (at + filled > body.span.to || (ended && is_part && at + filled < body.span.to)) {
            plan_.distrust_parts();
            co_return DownloadFailure{
                Trouble::changed, transient("the part that came has another length"), {}};
        }
        if (at + filled > std::min(order_.largest, order_.size.value_or(order_.largest)))
            co_return DownloadFailure{
                Trouble::wrong,
                permanent("the body goes on beyond the " +
                          std::to_string(order_.size.value_or(order_.largest)) +
                          " bytes that were expected"),
                {}};
        if (auto unwritten = put(at, {buffer.data(), filled}))
            co_return unwritten;
        at += filled;
        filled = 0;
    }
    if (!failure && !is_part) {
        plan_.ended_at(at);
        ended_in_order_ = true;
    }
    co_return failure;
}

std::map<std::string, std::string> headers_of(const DownloadRequest& request) {
    std::map<std::string, std::string> headers;
    if (request.ranged)
        headers["Range"] = request.range();
    if (!request.if_range.empty())
        headers["If-Range"] = request.if_range;
    return headers;
}

DownloadHead essence(const HttpsUrl& url, const HttpsHead& head) {
    return {authority_of(url.host, url.port, 443),
            head.status,
            head.content_length,
            head.header("content-range"),
            head.header("content-type"),
            head.header("etag"),
            head.header("location"),
            head.header("retry-after")};
}

// One request and what follows from it, redirects included.
asio::awaitable<std::optional<DownloadFailure>> Download::serve(HttpsConnection& connection,
                                                                DownloadRequest request) {
    // An address that we were sent to may have run out, and a server may want fewer connections:
    // that is for the next round to find out.
    const bool is_final = !redirected_ && connections_.front().get() == &connection;
    HttpsUrl url = redirected_.value_or(url_);
    for (unsigned redirects = 0; redirects <= most_redirects; ++redirects) {
        auto headers = headers_of(request);
        const auto head = co_await connection.ask(url, std::move(headers));
        if (!head)
            co_return head.error();
        auto verdict = plan_.judge(request, essence(url, *head), std::chrono::system_clock::now());
        if (const auto* redirect = std::get_if<FollowRedirect>(&verdict)) {
            auto to = redirected(url, redirect->location);
            if (!to)
                co_return DownloadFailure{Trouble::final, to.error(), {}};
            url = std::move(*to);
            continue;
        }
        if (std::holds_alternative<AskPlainly>(verdict))
            co_return std::nullopt; // the lane asks again
        if (auto* failure = std::get_if<DownloadFailure>(&verdict)) {
            redirected_.reset();
            if (failure->trouble == Trouble::final && !is_final)
                failure->trouble = Trouble::busy;
            co_return std::move(*failure);
        }
        const TakeBody body = std::get<TakeBody>(verdict);
        if (redirects > 0)
            redirected_ = url;
        if (body.size)
            if (auto room = file_.reserve(*body.size); !room)
                co_return final_failure(room);
        while (connections_.size() < plan_.lanes() && plan_.has_unclaimed())
            start_lane();
        co_return co_await take(connection, body);
    }
    co_return DownloadFailure{
        Trouble::final,
        permanent("redirected more than " + std::to_string(most_redirects) + " times"),
        {}};
}

asio::awaitable<void> Download::lane(HttpsConnection& connection) {
    while (!failure_ || weight(failure_->trouble) < weight(Trouble::changed)) {
        const auto request = plan_.next();
        if (!request)
            break;
        auto failure = co_await serve(connection, *request);
        plan_.release(*request);
        if (failure) {
            failed(std::move(*failure));
            break;
        }
        if (ended_in_order_)
            break;
    }
    // Whoever only waits for a connection is not waited for.
    if (plan_.complete())
        for (const auto& other : connections_)
            other->close();
}

void Download::start_lane() {
    connections_.push_back(client_.connection());
    ++lanes_;
    asio::co_spawn(io_, lane(*connections_.back()), [this](const std::exception_ptr& thrown) {
        if (thrown)
            bug_ = thrown;
        --lanes_;
        changed_.cancel();
    });
}

asio::awaitable<void> Download::round() {
    failure_.reset();
    auto kept = Clock::now();
    start_lane();
    while (lanes_ > 0) {
        changed_.expires_after(std::min<Clock::duration>(between_reports, order_.checkpoint));
        co_await changed_.async_wait(quietly);
        report_now_and_then();
        if (Clock::now() - kept < order_.checkpoint)
            continue;
        if (auto written = file_.checkpoint(plan_.state()); !written)
            failed({Trouble::final, written.error(), {}});
        kept = Clock::now();
    }
    connections_.clear();
    if (bug_)
        std::rethrow_exception(bug_);
}

std::string Download::what_is_there() const {
    std::string text = "expected sha256 " + order_.sha256 + ", got " + file_.digest() + ", " +
                       std::to_string(file_.hashed());
    if (plan_.size())
        text += " of " + std::to_string(*plan_.size());
    return text + " bytes";
}

Result<void> Download::start_again() {
    plan_.start_again();
    return file_.start_again();
}

Result<void> Download::hash_what_is_there(const std::function<void()>& after_a_piece) {
    while (true) {
        const auto hashed = file_.hash_towards(plan_.coverage().front());
        if (!hashed)
            return hashed.error();
        if (*hashed)
            return {};
        after_a_piece();
    }
}

Result<std::optional<DownloadFailure>> Download::judge_what_is_there() {
    if (auto hashed = hash_what_is_there([] {}); !hashed)
        return hashed.error();
    const bool cut_without_a_length =
        failure_ && failure_->trouble == Trouble::cut_short && !plan_.size();
    if ((plan_.complete() || cut_without_a_length) && file_.digest() == order_.sha256)
        return std::optional<DownloadFailure>{};
    if (!plan_.complete()) {
        DownloadFailure failure = failure_.value_or(
            DownloadFailure{Trouble::cut_short, transient("the body ended too early"), {}});
        if (failure.trouble == Trouble::cut_short)
            failure.error.message += ": " + what_is_there();
        else if (failure.trouble == Trouble::stalled)
            failure.error.message += ", at " + std::to_string(plan_.coverage().count()) +
                                     (plan_.size() ? " of " + std::to_string(*plan_.size()) : "") +
                                     " bytes";
        return std::optional{std::move(failure)};
    }
    std::string message = what_is_there();
    if (plan_.looks_like_html() || file_.begins_like_html())
        message += "; it is an HTML page: a login's or a proxy's?";
    if (auto set_aside = file_.reject(); !set_aside)
        return set_aside.error();
    return std::optional{DownloadFailure{
        Trouble::wrong,
        permanent(std::move(message),
                  "it was not used and lies in " + file_.rejected().string() +
                      "; compare the URL and the sha256 with what the publisher says"),
        {}}};
}

Result<void> Download::take_up_earlier() {
    if (auto earlier = file_.earlier())
        plan_.resume(std::move(*earlier));
    if (!plan_.can_go_on())
        return start_again();
    // What is there counts only once it was read: hashing goes on from there.
    if (auto hashed = hash_what_is_there([this] { report_now_and_then(); }); !hashed)
        return hashed;
    say(DownloadNote{"goes on at " +
                     shown(DownloadProgress{plan_.coverage().count(), plan_.size()})});
    return {};
}

asio::awaitable<std::optional<Error>> Download::run_to_the_end() {
    if (auto taken = take_up_earlier(); !taken)
        co_return taken.error();
    if (order_.size)
        if (auto room = file_.reserve(*order_.size); !room)
            co_return room.error();
    while (true) {
        ended_in_order_ = false;
        if (!plan_.complete())
            co_await round();
        if (failure_ && failure_->trouble == Trouble::final)
            co_return failure_->error;
        auto judged = judge_what_is_there();
        if (!judged)
            co_return judged.error();
        if (!*judged)
            break;
        DownloadFailure failure = std::move(**judged);
        if (!plan_.can_go_on() || failure.trouble == Trouble::changed ||
            failure.trouble == Trouble::wrong) {
            if (auto empty = start_again(); !empty)
                co_return empty.error();
        } else if (auto kept = file_.checkpoint(plan_.state()); !kept) {
            co_return kept.error();
        }
        const double random = std::uniform_real_distribution<double>{0, 1}(random_);
        auto next = patience_.after(failure, received_ - received_before_, random);
        received_before_ = received_;
        if (auto* error = std::get_if<Error>(&next))
            co_return std::move(*error);
        const auto wait = std::get<std::chrono::milliseconds>(next);
        say(DownloadNote{failure.error.message + "; again in " + in_seconds(wait)});
        asio::steady_timer pause{io_, wait};
        co_await pause.async_wait(quietly);
    }
    report();
    if (auto finished = file_.finish(); !finished)
        co_return finished.error();
    co_return std::nullopt;
}

asio::awaitable<DownloadOutcome> Download::run() {
    DownloadOutcome outcome;
    outcome.error = co_await run_to_the_end();
    if (outcome.error && file_.is_out_of_room())
        if (auto removed = file_.discard(); !removed)
            outcome.error->message += "; " + removed.error().message;
    outcome.size = file_.hashed();
    outcome.received = received_;
    co_return outcome;
}

DownloadOutcome failed_outcome(Error error) {
    DownloadOutcome outcome;
    outcome.error = std::move(error);
    return outcome;
}

DownloadOutcome carry_out(DownloadOrder order, std::ostream& out, int build_year) {
    auto url = parse_https_url(order.url);
    if (!url)
        return failed_outcome(url.error());
    const std::string name = shown(*url);
    const auto in_context = [&](const Error& error) {
        return failed_outcome(context(error, "fetching " + name));
    };
    auto settings = https_settings(order, build_year);
    if (!settings)
        return in_context(settings.error());
    auto file = PartialFile::open(order.directory, order.name);
    if (!file)
        return in_context(file.error());
    const auto finished = file->finished(order.sha256);
    if (!finished)
        return in_context(finished.error());
    if (*finished) {
        DownloadOutcome outcome;
        outcome.size = **finished;
        if (auto removed = file->discard(); !removed)
            return in_context(removed.error());
        return outcome;
    }
    asio::io_context io{1};
    auto client = HttpsClient::make(io, std::move(*settings));
    if (!client)
        return in_context(client.error());
    Download download{
        io, std::move(order), std::move(*url), std::move(*client), std::move(*file), out};
    DownloadOutcome outcome = run_alone(io, download.run(), DownloadOutcome{});
    if (outcome.error)
        outcome.error = context(*outcome.error, "fetching " + name);
    return outcome;
}

} // namespace

int fetch_worker(std::istream& input, std::ostream& output, int build_year) {
    auto order = read_order(read_input(input, order_limit));
    if (!order) {
        log::error(order.error().message);
        return wrong_usage;
    }
    const DownloadOutcome outcome = carry_out(std::move(*order), output, build_year);
    output << write_line(outcome) << '\n' << std::flush;
    return 0;
}

int fetch_worker(int build_year) {
    return fetch_worker(std::cin, std::cout, build_year);
}

} // namespace agent
