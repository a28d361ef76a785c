#include "agent/ports/crypto.hpp"
#include "agent/ports/download.hpp"
#include "agent/workers/fetch.hpp"
#include "tests/support/loopback_https.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

struct Site {
    Site() {
        order.url = https.url("/file?secret");
        order.sha256 = sha256_hex("content");
        order.directory = https.directory();
        order.name = "file";
        order.ca_certificates = https.ca_certificates();
        order.backoff = {1ms, 1ms};
    }

    DownloadOutcome fetched(int build_year = 2024) {
        std::istringstream input{write_order(order)};
        std::ostringstream output;
        REQUIRE(fetch_worker(input, output, build_year) == 0);
        said = output.str();
        const auto last = said.rfind('\n', said.size() - 2);
        return std::get<DownloadOutcome>(read_line(said.substr(last + 1)).value());
    }
    [[nodiscard]] bool has(const char* name) const { return fs::exists(order.directory / name); }

    LoopbackHttps https;
    LoopbackHttp& server = https.server;
    DownloadOrder order;
    std::string said;
};

} // namespace

TEST_CASE("fetch worker: a file comes, is verified, and is not asked for again",
          "[unit][workers]") {
    Site site;
    site.server.answer(http_response(200, "content"));
    const auto outcome = site.fetched();
    CHECK_FALSE(outcome.error.has_value());
    CHECK(outcome.size == 7);
    CHECK(outcome.received == 7);
    CHECK(site.has("file"));
    CHECK_FALSE(site.has("file.part"));
    CHECK_THAT(site.server.requests().front(), ContainsSubstring("GET /file?secret HTTP/1.1\r\n"));
    CHECK_THAT(site.said, !ContainsSubstring("secret"));
    CHECK(site.fetched().received == 0);
    CHECK(site.server.requests().size() == 1);
}

TEST_CASE("fetch worker: what was cut goes on where it was", "[unit][workers]") {
    Site site;
    site.server.answer("HTTP/1.1 206 Part\r\nETag: \"1\"\r\nContent-Range: bytes 0-6/7\r\n"
                       "Content-Length: 7\r\n\r\ncon");
    site.server.answer("HTTP/1.1 206 Part\r\nETag: \"1\"\r\nContent-Range: bytes 3-6/7\r\n"
                       "Content-Length: 4\r\n\r\ntent");
    CHECK_FALSE(site.fetched().error.has_value());
    REQUIRE(site.server.requests().size() == 2);
    CHECK_THAT(site.server.requests().back(), ContainsSubstring("Range: bytes=3-6\r\n"));
    CHECK_THAT(site.server.requests().back(), ContainsSubstring("If-Range: \"1\"\r\n"));
}

TEST_CASE("fetch worker: another body than the one wanted is refused and kept", "[unit][workers]") {
    Site site;
    site.server.answer(http_response(200, "c0ntent"));
    site.server.answer(http_response(200, "c0ntent"));
    const auto outcome = site.fetched();
    REQUIRE(outcome.error.has_value());
    CHECK(outcome.error->kind == ErrorKind::permanent);
    CHECK_THAT(outcome.error->message, ContainsSubstring("expected sha256 " + site.order.sha256));
    CHECK_THAT(outcome.error->message, ContainsSubstring("7 of 7 bytes"));
    CHECK(site.has("file.rejected"));
    CHECK_FALSE(site.has("file"));
}

TEST_CASE("fetch worker: a refusal is said with the address, without its query",
          "[unit][workers]") {
    Site site;
    site.server.answer(http_response(404, "nothing"));
    const auto outcome = site.fetched();
    REQUIRE(outcome.error.has_value());
    CHECK_THAT(outcome.error->message, ContainsSubstring("/file: 127.0.0.1:"));
    CHECK_THAT(outcome.error->message, ContainsSubstring("answered 404 (not found)"));
    CHECK_THAT(site.said, !ContainsSubstring("secret"));
}

TEST_CASE("fetch worker: a server that nobody vouches for hears no request", "[unit][workers]") {
    Site site;
    std::ofstream{site.order.ca_certificates}
        << make_certificate("other", {}, std::chrono::system_clock::now()).value().reveal();
    const auto outcome = site.fetched();
    REQUIRE(outcome.error.has_value());
    CHECK(outcome.error->kind == ErrorKind::permanent);
    CHECK_THAT(outcome.error->message, ContainsSubstring("signed by itself"));
    CHECK(site.server.requests().empty());
}

TEST_CASE("fetch worker: an order without sense is wrong usage and no outcome", "[unit][workers]") {
    std::istringstream input{GENERATE("", "{", "[]", "{}", R"({"url":"https://host/"})")};
    std::ostringstream output;
    CHECK(fetch_worker(input, output, 2024) == 64);
    CHECK(output.str().empty());
}
