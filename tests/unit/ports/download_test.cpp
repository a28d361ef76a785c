#include "agent/ports/download.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <string>

using namespace agent;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

DownloadOrder an_order() {
    DownloadOrder order;
    order.url = "https://me:secret@host/file?secret";
    order.sha256 = std::string(64, 'a');
    order.directory = "/var/lib/x";
    order.name = "file";
    return order;
}

} // namespace

TEST_CASE("download order: it comes out as it went in", "[unit][ports]") {
    DownloadOrder order = an_order();
    order.size = 123;
    order.proxy = "http://proxy:1";
    order.no_proxy = {"a", "b"};
    order.ca_certificates = "/etc/ca.pem";
    order.parallel = 3;
    order.chunk = 4096;
    order.idle_timeout = 7ms;
    order.backoff.longest = 9ms;
    const DownloadOrder read = read_order(write_order(order)).value();
    CHECK(write_order(read) == write_order(order));
    CHECK(read.size == 123U);
    CHECK(read.no_proxy == order.no_proxy);
    CHECK(read.idle_timeout == 7ms);
    CHECK_FALSE(read_order(write_order(an_order())).value().size.has_value());
}

TEST_CASE("download order: one without sense is refused and not quoted", "[unit][ports]") {
    DownloadOrder order = an_order();
    std::string text;
    SECTION("no JSON") {
        text = "{\"url\": \"https://secret";
    }
    SECTION("no object") {
        text = "[\"secret\"]";
    }
    SECTION("no url") {
        order.url.clear();
        text = write_order(order);
    }
    SECTION("a hash that is none") {
        order.sha256 = "secret";
        text = write_order(order);
    }
    SECTION("a directory that depends on where one stands") {
        order.directory = "secret";
        text = write_order(order);
    }
    SECTION("a name that leads elsewhere") {
        order.name = GENERATE("", "../secret", "a/secret", ".secret", "-secret", "se cret");
        text = write_order(order);
    }
    SECTION("numbers out of range") {
        text = write_order(order);
        const std::string key =
            GENERATE("\"parallel\":", "\"chunk\":", "\"idle_ms\":", "\"largest\":");
        text.insert(text.find(key) + key.size(), "-1000");
    }
    SECTION("a size that is no number") {
        text = write_order(order);
        const std::string key = "\"size\":";
        text.replace(text.find(key) + key.size(), 4, "\"secret\"");
    }
    SECTION("a size beyond what is allowed") {
        order.size = 10;
        order.largest = 9;
        text = write_order(order);
    }
    const auto read = read_order(text);
    REQUIRE(read.has_error());
    CHECK(read.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(read.error().message, !ContainsSubstring("secret"));
}

TEST_CASE("download order: upper-case hashes are taken", "[unit][ports]") {
    DownloadOrder order = an_order();
    order.sha256 = std::string(64, 'A');
    CHECK(read_order(write_order(order)).value().sha256 == std::string(64, 'a'));
}

TEST_CASE("adopt order: it comes out as it went in, paths are absolute", "[unit][ports]") {
    AdoptOrder order;
    order.from = "/a/b";
    order.to = "/c/d";
    order.sha256 = std::string(64, '0');
    order.size = 5;
    order.mode = 0755;
    const AdoptOrder read = read_adopt_order(write_order(order)).value();
    CHECK(write_order(read) == write_order(order));
    CHECK(read.mode == 0755);
    order.to = "d";
    CHECK(read_adopt_order(write_order(order)).has_error());
    order.to = "/d";
    order.mode = 04755;
    CHECK(read_adopt_order(write_order(order)).has_error());
}

TEST_CASE("download lines: each comes out as it went in, on one line", "[unit][ports]") {
    const auto progress = read_line(write_line(DownloadProgress{5, 10}));
    REQUIRE(progress.has_value());
    CHECK(std::get<DownloadProgress>(*progress).bytes == 5);
    CHECK(std::get<DownloadProgress>(*progress).size == 10U);
    const auto without_size = read_line(write_line(DownloadProgress{5, {}}));
    CHECK_FALSE(std::get<DownloadProgress>(*without_size).size.has_value());
    const std::string note = write_line(DownloadNote{"a\nb"});
    CHECK(note.find('\n') == std::string::npos);
    CHECK(std::get<DownloadNote>(*read_line(note)).text == "a\nb");
    DownloadOutcome good;
    good.size = 7;
    good.received = 3;
    const auto outcome = std::get<DownloadOutcome>(*read_line(write_line(good)));
    CHECK_FALSE(outcome.error.has_value());
    CHECK(outcome.size == 7);
    CHECK(outcome.received == 3);
    const auto kind =
        GENERATE(ErrorKind::transient, ErrorKind::permanent, ErrorKind::misconfigured);
    DownloadOutcome bad;
    bad.error = Error{kind, "what", "next"};
    const auto error = std::get<DownloadOutcome>(*read_line(write_line(bad))).error;
    REQUIRE(error.has_value());
    CHECK(error->kind == kind);
    CHECK(error->message == "what");
    CHECK(error->next == "next");
}

TEST_CASE("download lines: what is none is none", "[unit][ports]") {
    const std::string text =
        GENERATE("", "hello", "{}", "[]", R"({"outcome":{}})", R"({"note":1})");
    CHECK_FALSE(read_line(text).has_value());
}

TEST_CASE("download progress: bytes are said in the unit of the whole", "[unit][ports]") {
    CHECK(shown(DownloadProgress{120'400'000, 500'000'000}) == "120 of 500 MB");
    CHECK(shown(DownloadProgress{120'000'000, 1'540'000'000}) == "0.1 of 1.5 GB");
    CHECK(shown(DownloadProgress{0, 12'000}) == "0 of 12 kB");
    CHECK(shown(DownloadProgress{12, {}}) == "12 bytes");
    CHECK(shown(DownloadProgress{120'000'000, {}}) == "120 MB");
    CHECK(shown(DownloadProgress{0, 0}) == "0 of 0 bytes");
}
