#include "agent/workers/bucket.hpp"

#include "agent/base/log.hpp"
#include "agent/host/https_client.hpp"
#include "agent/ports/bucket.hpp"
#include "agent/ports/https_url.hpp"
#include "agent/workers/https_settings.hpp"
#include "agent/workers/work.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>

namespace agent {
namespace {

namespace asio = boost::asio;

constexpr std::size_t order_limit = 65'536;
constexpr int wrong_usage = 64;
constexpr std::size_t refusal_limit = 8192; // of what is read of a body that is no object

// A name that the resolver does not know is no fault of the configuration's: it is always the same.
Error passing_or_not(DownloadFailure failure) {
    if (failure.trouble != Trouble::final)
        failure.error.kind = ErrorKind::transient;
    return std::move(failure.error);
}

// At most one byte more than `limit`.
asio::awaitable<Result<std::string>> read_body(HttpsConnection& connection, std::size_t limit) {
    std::string body;
    std::string piece(64 * std::size_t{1024}, '\0');
    while (body.size() <= limit) {
        const auto room = std::min(piece.size(), limit + 1 - body.size());
        auto got = co_await connection.read(std::span{piece.data(), room});
        if (!got)
            co_return passing_or_not(std::move(got.error()));
        if (*got == 0)
            break;
        body.append(piece, 0, *got);
    }
    co_return body;
}

asio::awaitable<Result<std::string>>
read_once(HttpsConnection& connection, const HttpsUrl& url, const BucketOrder& order) {
    std::map<std::string, std::string> headers;
    if (order.reader)
        headers["Authorization"] = "Bearer " + order.reader->token.reveal();
    auto head = co_await connection.ask(url, std::move(headers));
    if (!head)
        co_return passing_or_not(std::move(head.error()));
    if (head->status != 200) {
        const auto body = co_await read_body(connection, refusal_limit);
        co_return refusal(order, head->status, body ? *body : std::string{});
    }
    const Error too_large =
        misconfigured("it is larger than " + std::to_string(order.largest) + " bytes",
                      "no list of packages is so large: correct [python] in the configuration");
    if (head->content_length && *head->content_length > order.largest)
        co_return too_large;
    auto body = co_await read_body(connection, order.largest);
    if (body && body->size() > order.largest)
        co_return too_large;
    if (body && !is_text(*body))
        co_return misconfigured("it is no UTF-8 text",
                                "put a list of packages there, or correct [python] in the "
                                "configuration; then `agent retry`");
    co_return body;
}

asio::awaitable<Result<std::string>>
read_object(asio::io_context& io, const HttpsClient& client, HttpsUrl url, BucketOrder order) {
    std::mt19937_64 random{std::random_device{}()};
    for (unsigned attempt = 1;; ++attempt) {
        const auto connection = client.connection();
        auto read = co_await read_once(*connection, url, order);
        connection->close();
        if (read || read.error().kind != ErrorKind::transient || attempt >= order.attempts)
            co_return read;
        const double chance = std::uniform_real_distribution<double>{0, 1}(random);
        asio::steady_timer pause{io, order.backoff.delay(attempt, chance)};
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
}

Result<std::string> carry_out(BucketOrder order, int build_year) {
    auto url = parse_https_url(order.url);
    if (!url)
        return url.error();
    auto settings = https_settings(order, build_year);
    if (!settings)
        return settings.error();
    asio::io_context io{1};
    const auto client = HttpsClient::make(io, std::move(*settings));
    if (!client)
        return client.error();
    const Result<std::string> nothing = transient("it was not asked for");
    return run_alone(io, read_object(io, *client, std::move(*url), std::move(order)), nothing);
}

} // namespace

int bucket_worker(std::istream& input, std::ostream& output, int build_year) {
    auto order = read_bucket_order(read_input(input, order_limit));
    if (!order) {
        log::error(order.error().message);
        return wrong_usage;
    }
    const std::string place = order->place;
    auto answer = carry_out(std::move(*order), build_year);
    if (!answer)
        answer = context(answer.error(), "reading " + place);
    output << write_answer(answer) << '\n' << std::flush;
    return 0;
}

int bucket_worker(int build_year) {
    return bucket_worker(std::cin, std::cout, build_year);
}

} // namespace agent
