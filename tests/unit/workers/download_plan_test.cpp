#include "agent/workers/download_plan.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <random>
#include <string>
#include <variant>
#include <vector>

using namespace agent;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using std::chrono::milliseconds;

namespace {

const auto now = std::chrono::sys_days{std::chrono::year{2024} / 5 / 1} + 12h;

DownloadOrder an_order() {
    DownloadOrder order;
    order.url = "https://host/file";
    order.sha256 = std::string(64, 'a');
    order.parallel = 4;
    order.parallel_from = 1000;
    order.chunk = 100;
    return order;
}

DownloadHead whole(std::optional<std::uint64_t> length, std::string etag = "\"v1\"") {
    DownloadHead head;
    head.peer = "host";
    head.status = 200;
    head.content_length = length;
    head.etag = std::move(etag);
    return head;
}

DownloadHead part(Span span, std::uint64_t size, std::string etag = "\"v1\"") {
    DownloadHead head = whole(span.to - span.from, std::move(etag));
    head.status = 206;
    head.content_range = "bytes " + std::to_string(span.from) + "-" + std::to_string(span.to - 1) +
                         "/" + std::to_string(size);
    return head;
}

DownloadHead status(unsigned code, std::string retry_after = {}) {
    DownloadHead head;
    head.peer = "host";
    head.status = code;
    head.retry_after = std::move(retry_after);
    return head;
}

DownloadFailure failure_of(const Verdict& verdict) {
    REQUIRE(std::holds_alternative<DownloadFailure>(verdict));
    return std::get<DownloadFailure>(verdict);
}

DownloadFailure of(Trouble trouble) {
    return {trouble, transient("it failed"), {}};
}

// A plan that has its first part of a file of 2,000 bytes.
DownloadPlan in_the_middle() {
    DownloadPlan plan{an_order()};
    const auto first = plan.next();
    REQUIRE(first.has_value());
    REQUIRE(std::holds_alternative<TakeBody>(plan.judge(*first, part({0, 100}, 2000), now)));
    plan.have({0, 100});
    plan.release(*first);
    return plan;
}

} // namespace

TEST_CASE("coverage: spans that touch are one, and what is removed is gone", "[unit][workers]") {
    Coverage coverage;
    coverage.add({10, 20});
    coverage.add({30, 40});
    CHECK(coverage.front() == 0);
    coverage.add({0, 10});
    CHECK(coverage.front() == 20);
    CHECK(coverage.gap(0, 50) == Span{20, 30});
    CHECK(coverage.gap(35, 50) == Span{40, 50});
    CHECK(coverage.gap(0, 25) == Span{20, 25});
    coverage.add({15, 35});
    CHECK(coverage.spans() == std::vector<Span>{{0, 40}});
    CHECK_FALSE(coverage.gap(0, 40).has_value());
    coverage.remove({5, 10});
    CHECK(coverage.spans() == std::vector<Span>{{0, 5}, {10, 40}});
    CHECK(coverage.count() == 35);
    coverage.add({7, 7});
    CHECK(coverage.spans().size() == 2);
}

TEST_CASE("coverage: it is what a set of single bytes would be", "[unit][workers]") {
    std::mt19937 random{1};
    Coverage coverage;
    std::vector<bool> bytes(60);
    for (int i = 0; i < 3000; ++i) {
        const auto from = random() % 60;
        const auto to = from + random() % (61 - from);
        const bool adds = random() % 2 == 0;
        adds ? coverage.add({from, to}) : coverage.remove({from, to});
        std::fill(
            bytes.begin() + static_cast<long>(from), bytes.begin() + static_cast<long>(to), adds);
        std::vector<bool> seen(60);
        std::uint64_t behind = 0;
        for (const Span& span : coverage.spans()) {
            REQUIRE(span.from < span.to);
            REQUIRE((span.from > behind || (behind == 0 && span.from == 0)));
            std::fill(seen.begin() + static_cast<long>(span.from),
                      seen.begin() + static_cast<long>(span.to),
                      true);
            behind = span.to;
        }
        REQUIRE(seen == bytes);
    }
}

TEST_CASE("download plan: one connection asks for the whole, several ask for a first part",
          "[unit][workers]") {
    DownloadOrder order = an_order();
    order.parallel = GENERATE(1U, 4U);
    DownloadPlan plan{order};
    const auto request = plan.next();
    REQUIRE(request.has_value());
    CHECK(request->ranged == (order.parallel > 1));
    CHECK(request->if_range.empty());
    if (request->ranged)
        CHECK(request->range() == "bytes=0-99");
    CHECK_FALSE(plan.next().has_value());
    plan.release(*request);
    CHECK(plan.next().has_value());
}

TEST_CASE("download plan: parts go on with If-Range, none twice, until all is there",
          "[unit][workers]") {
    DownloadPlan plan = in_the_middle();
    CHECK(plan.lanes() == 4);
    std::vector<Span> asked;
    while (const auto request = plan.next()) {
        CHECK(request->ranged);
        CHECK(request->if_range == "\"v1\"");
        asked.push_back(request->span);
        REQUIRE(
            std::holds_alternative<TakeBody>(plan.judge(*request, part(request->span, 2000), now)));
        plan.have(request->span);
        plan.release(*request);
    }
    CHECK(asked.front() == Span{100, 200});
    CHECK(asked.back().to == 2000);
    CHECK(asked.back().to - asked.back().from <= 13); // all come to the end together
    std::uint64_t behind = 100;
    for (const Span& span : asked) {
        CHECK(span.from == behind);
        CHECK(span.to - span.from <= 100);
        behind = span.to;
    }
    CHECK(plan.complete());
}

TEST_CASE("download plan: a claim that is given up is asked for again", "[unit][workers]") {
    DownloadPlan plan = in_the_middle();
    const auto second = plan.next();
    const auto third = plan.next();
    CHECK(third->span == Span{200, 300});
    plan.have({100, 130});
    plan.release(*second);
    CHECK(plan.next()->span == Span{130, 200});
}

TEST_CASE("download plan: a small file comes over one connection", "[unit][workers]") {
    DownloadPlan plan{an_order()};
    const auto first = plan.next();
    REQUIRE(std::holds_alternative<TakeBody>(plan.judge(*first, part({0, 100}, 900), now)));
    plan.have({0, 100});
    plan.release(*first);
    CHECK(plan.lanes() == 1);
    CHECK(plan.next()->span == Span{100, 900});
}

TEST_CASE("download plan: parts without a strong ETag are of no use, the whole is asked for",
          "[unit][workers]") {
    const std::string etag = GENERATE("", "W/\"v1\"", "v1", "\"v\"1\"", "\"v 1\"");
    DownloadPlan plan{an_order()};
    const auto first = plan.next();
    CHECK(std::holds_alternative<AskPlainly>(plan.judge(*first, part({0, 100}, 2000, etag), now)));
    plan.release(*first);
    const auto again = plan.next();
    CHECK_FALSE(again->ranged);
    REQUIRE(std::holds_alternative<TakeBody>(plan.judge(*again, whole(2000, etag), now)));
    plan.have({0, 500});
    CHECK_FALSE(plan.can_go_on());
    CHECK_FALSE(plan.state().has_value());
}

TEST_CASE("download plan: a server without ranges sends the whole", "[unit][workers]") {
    DownloadPlan plan{an_order()};
    const auto first = plan.next();
    SECTION("as the answer") {
        const auto verdict = plan.judge(*first, whole(2000), now);
        CHECK(std::get<TakeBody>(verdict).span == Span{0, 2000});
        CHECK(plan.lanes() == 1);
        CHECK_FALSE(plan.has_unclaimed());
    }
    SECTION("when it is asked again, an empty file has no part") {
        CHECK(std::holds_alternative<AskPlainly>(plan.judge(*first, status(416), now)));
        plan.release(*first);
        CHECK_FALSE(plan.next()->ranged);
    }
}

TEST_CASE("download plan: a stream that broke goes on behind what is there", "[unit][workers]") {
    DownloadOrder order = an_order();
    order.parallel = GENERATE(1U, 4U);
    DownloadPlan plan{order};
    const auto first = plan.next();
    REQUIRE(std::holds_alternative<TakeBody>(plan.judge(*first, whole(2000), now)));
    plan.have({0, 700});
    plan.release(*first);
    CHECK(plan.can_go_on());
    const auto rest = plan.next();
    CHECK(rest->span == Span{700, 2000});
    CHECK(rest->if_range == "\"v1\"");
    CHECK(rest->range() == "bytes=700-1999");
}

TEST_CASE("download plan: what does not fit what we have means to begin again, without parts",
          "[unit][workers]") {
    DownloadPlan plan = in_the_middle();
    const auto request = plan.next();
    const auto head = GENERATE(whole(2000),
                               part({100, 200}, 2000, "\"v2\""),
                               part({100, 200}, 2000, ""),
                               part({100, 200}, 2001),
                               part({101, 201}, 2000),
                               part({0, 100}, 2000),
                               part({100, 300}, 2000),
                               status(416),
                               status(412));
    CHECK(failure_of(plan.judge(*request, head, now)).trouble == Trouble::changed);
    plan.release(*request);
    plan.start_again();
    CHECK(plan.coverage().count() == 0);
    const auto again = plan.next();
    CHECK_FALSE(again->ranged);
    REQUIRE(std::holds_alternative<TakeBody>(plan.judge(*again, whole(2000), now)));
    plan.have({0, 500});
    CHECK_FALSE(plan.can_go_on());
}

TEST_CASE("download plan: a part with another length than its range is a lie", "[unit][workers]") {
    DownloadPlan plan = in_the_middle();
    const auto request = plan.next();
    DownloadHead head = part({100, 200}, 2000);
    head.content_length = 99;
    CHECK(failure_of(plan.judge(*request, head, now)).trouble == Trouble::changed);
}

TEST_CASE("download plan: fewer bytes than asked for are a part as well", "[unit][workers]") {
    DownloadPlan plan = in_the_middle();
    const auto request = plan.next();
    const auto verdict = plan.judge(*request, part({100, 150}, 2000), now);
    CHECK(std::get<TakeBody>(verdict).span == Span{100, 150});
    plan.have({100, 150});
    plan.release(*request);
    CHECK(plan.next()->span == Span{150, 250});
}

TEST_CASE("download plan: another size than the known one is wrong before a byte came",
          "[unit][workers]") {
    DownloadOrder order = an_order();
    order.size = 2000;
    DownloadPlan plan{order};
    const auto first = plan.next();
    DownloadHead head = GENERATE(whole(1999), part({0, 100}, 2001));
    head.content_type = "text/html; charset=utf-8";
    const auto failure = failure_of(plan.judge(*first, head, now));
    CHECK(failure.trouble == Trouble::wrong);
    CHECK_THAT(failure.error.message, ContainsSubstring("expected 2000"));
    CHECK_THAT(failure.error.message, ContainsSubstring("HTML"));
}

TEST_CASE("download plan: more than is allowed is refused for good", "[unit][workers]") {
    DownloadOrder order = an_order();
    order.largest = 1999;
    DownloadPlan plan{order};
    CHECK(failure_of(plan.judge(*plan.next(), whole(2000), now)).trouble == Trouble::final);
}

TEST_CASE("download plan: statuses that may pass, and those that may not", "[unit][workers]") {
    DownloadPlan plan{an_order()};
    const auto request = plan.next();
    for (const unsigned code : {408U, 425U, 429U, 500U, 502U, 503U, 504U, 599U}) {
        const auto failure = failure_of(plan.judge(*request, status(code, "7"), now));
        CHECK(failure.trouble == Trouble::busy);
        CHECK(failure.error.kind == ErrorKind::transient);
        CHECK(failure.wait == milliseconds{7s});
    }
    for (const unsigned code : {204U, 304U, 400U, 401U, 403U, 404U, 407U, 410U, 451U}) {
        const auto failure = failure_of(plan.judge(*request, status(code), now));
        CHECK(failure.trouble == Trouble::final);
        CHECK(failure.error.kind == ErrorKind::permanent);
        CHECK_THAT(failure.error.message, ContainsSubstring(std::to_string(code)));
    }
}

TEST_CASE("download plan: a redirect needs to say where to", "[unit][workers]") {
    DownloadPlan plan{an_order()};
    const auto request = plan.next();
    DownloadHead head = status(GENERATE(301U, 302U, 303U, 307U, 308U));
    CHECK(failure_of(plan.judge(*request, head, now)).trouble == Trouble::final);
    head.location = "/x";
    CHECK(std::get<FollowRedirect>(plan.judge(*request, head, now)).location == "/x");
}

TEST_CASE("download plan: another run goes on from a state that is about the same file",
          "[unit][workers]") {
    const DownloadState state = *in_the_middle().state();
    const DownloadState read = read_state(write_state(state)).value();
    SECTION("the same") {
        DownloadPlan plan{an_order()};
        plan.resume(read);
        CHECK(plan.can_go_on());
        CHECK(plan.next()->span.from == 100);
    }
    SECTION("the same, signed anew") {
        DownloadOrder order = an_order();
        order.url += "?signature=new";
        DownloadPlan plan{order};
        plan.resume(read);
        CHECK(plan.can_go_on());
    }
    SECTION("another one") {
        DownloadOrder order = an_order();
        const int difference = GENERATE(0, 1, 2, 3);
        if (difference == 0)
            order.url += "x";
        else if (difference == 1)
            order.sha256 = std::string(64, 'b');
        else if (difference == 2)
            order.size = 1999;
        else
            order.largest = 1000;
        DownloadPlan plan{order};
        plan.resume(read);
        CHECK_FALSE(plan.can_go_on());
        CHECK(plan.coverage().count() == 0);
    }
}

TEST_CASE("download state: whatever is not whole is none", "[unit][workers]") {
    const std::string text = GENERATE(
        "",
        "{",
        "[]",
        R"({"version":2,"source":"s","sha256":"a","etag":"\"v\"","size":10,"have":[]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"","size":10,"have":[]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"W/\"v\"","size":10,"have":[]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"\"v\"","size":-1,"have":[]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"\"v\"","size":10})",
        R"({"version":1,"source":"s","sha256":"a","etag":"\"v\"","size":10,"have":[[0,11]]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"\"v\"","size":10,"have":[[5,5]]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"\"v\"","size":10,"have":[[5,8],[7,9]]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"\"v\"","size":10,"have":[[0]]})",
        R"({"version":1,"source":"s","sha256":"a","etag":"\"v\"","size":10,"have":["0-5"]})");
    CHECK_FALSE(read_state(text).has_value());
}

TEST_CASE("patience: connections, busy servers and stalls are tried six times in a row",
          "[unit][workers]") {
    Patience patience{{100ms, 1000ms}};
    const auto trouble = GENERATE(Trouble::unreachable, Trouble::busy, Trouble::stalled);
    milliseconds last{0};
    for (int i = 1; i < 6; ++i) {
        const auto wait = std::get<milliseconds>(patience.after(of(trouble), 0, 1.0));
        CHECK(wait >= last);
        CHECK(wait <= 1000ms);
        last = wait;
    }
    const auto end = patience.after(of(trouble), 0, 1.0);
    REQUIRE(std::holds_alternative<Error>(end));
    CHECK(std::get<Error>(end).message == "it failed (tried 6 times)");
}

TEST_CASE("patience: whoever gets on is not counted out", "[unit][workers]") {
    Patience patience{{}};
    for (int i = 0; i < 50; ++i)
        CHECK(std::holds_alternative<milliseconds>(
            patience.after(of(Trouble::stalled), Patience::gain_that_counts, 0.5)));
}

TEST_CASE("patience: a body is cut three times, not four, however much came", "[unit][workers]") {
    Patience patience{{}};
    for (int i = 0; i < 3; ++i)
        CHECK(std::holds_alternative<milliseconds>(
            patience.after(of(Trouble::cut_short), 1 << 30, 0.5)));
    CHECK(std::holds_alternative<Error>(patience.after(of(Trouble::cut_short), 1 << 30, 0.5)));
}

TEST_CASE("patience: a wrong body is tried once more, a certificate never", "[unit][workers]") {
    Patience patience{{}};
    CHECK(std::holds_alternative<milliseconds>(patience.after(of(Trouble::wrong), 1 << 30, 0.5)));
    CHECK(std::holds_alternative<Error>(patience.after(of(Trouble::wrong), 1 << 30, 0.5)));
    const auto end = Patience{{}}.after(of(Trouble::final), 1 << 30, 0.5);
    CHECK(std::get<Error>(end).message == "it failed");
}

TEST_CASE("patience: a file that changes is begun again at once, three times", "[unit][workers]") {
    Patience patience{{}};
    for (int i = 0; i < 3; ++i)
        CHECK(std::get<milliseconds>(patience.after(of(Trouble::changed), 0, 0.5)) == 0ms);
    CHECK(std::holds_alternative<Error>(patience.after(of(Trouble::changed), 0, 0.5)));
}

TEST_CASE("patience: the server's own time is waited for", "[unit][workers]") {
    DownloadFailure failure = of(Trouble::busy);
    failure.wait = 30s;
    CHECK(std::get<milliseconds>(Patience{{}}.after(failure, 0, 0.5)) == 30s);
}

TEST_CASE("content range: only a whole one counts", "[unit][workers]") {
    const auto range = parse_content_range(" Bytes 5-9/10 ");
    REQUIRE(range.has_value());
    CHECK(range->first == Span{5, 10});
    CHECK(range->second == 10);
    for (const char* text : {"",
                             "bytes",
                             "bytes */10",
                             "bytes 5-9/*",
                             "bytes 9-5/10",
                             "bytes 5-10/10",
                             "bytes -5-9/10",
                             "bytes 5-9",
                             "bytes 5/9-10",
                             "bytes 5-9/10, 11-12/20",
                             "lines 5-9/10",
                             "bytes 0-18446744073709551615/18446744073709551616"})
        CHECK_FALSE(parse_content_range(text).has_value());
}

TEST_CASE("retry after: seconds, three dates, and garbage", "[unit][workers]") {
    struct Row {
        std::string text;
        std::optional<milliseconds> wait;
    };
    const auto row = GENERATE(Row{"0", 0ms},
                              Row{" 7 ", 7s},
                              Row{"30", 30s},
                              Row{"31", 30s},
                              Row{"3600", 30s},
                              Row{"99999999999999999999999999", 30s},
                              Row{"Wed, 01 May 2024 12:00:09 GMT", 9s},
                              Row{"Wednesday, 01-May-24 12:00:09 GMT", 9s},
                              Row{"Wed May  1 12:00:09 2024", 9s},
                              Row{"Wed, 01 May 2024 11:00:00 GMT", 0ms},
                              Row{"Thu, 01 May 2031 12:00:00 GMT", 30s},
                              Row{"", {}},
                              Row{"soon", {}},
                              Row{"-1", {}},
                              Row{"7.5", {}},
                              Row{"Wed, 01 May 2024 12:00:09 PST", {}},
                              Row{"Wed, 99 May 2024 12:00:09 GMT", {}});
    CHECK(parse_retry_after(row.text, now, 30s) == row.wait);
}
