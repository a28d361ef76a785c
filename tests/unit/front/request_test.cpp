#include "agent/front/request.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <iterator>
#include <random>
#include <string>

namespace agent {

TEST_CASE("request: the head ends after its blank line", "[unit][front]") {
    CHECK_FALSE(end_of_head(""));
    CHECK_FALSE(end_of_head("GET / HTTP/1.1\r\n"));
    CHECK_FALSE(end_of_head("GET / HTTP/1.1\r\nHost: a\r\n"));
    CHECK(end_of_head("GET / HTTP/1.1\r\n\r\n") == 18);
    CHECK(end_of_head("GET / HTTP/1.1\r\n\r\nbody\r\n\r\n") == 18);
    CHECK(end_of_head("GET / HTTP/1.0\n\n") == 16);
}

TEST_CASE("request: method, target and host are read", "[unit][front]") {
    const auto head = parse_request_head("GET /lab/tree/a%20b?reset=1 HTTP/1.1\r\nUser-Agent: x: "
                                         "y\r\nhOSt:  203.0.113.7:8888 \r\n\r\n");
    REQUIRE(head.has_value());
    CHECK(head->method == "GET");
    CHECK(head->target == "/lab/tree/a%20b?reset=1");
    CHECK(head->host == "203.0.113.7:8888");
}

TEST_CASE("request: a target that is not in origin form becomes the root", "[unit][front]") {
    const auto target = GENERATE("*", "http://example.com/x", "example.com:443");
    const auto head =
        parse_request_head(std::string{"GET "} + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(head.has_value());
    CHECK(head->target == "/");
}

TEST_CASE("request: without a Host there is none", "[unit][front]") {
    const auto head = parse_request_head("GET / HTTP/1.0\r\n\r\n");
    REQUIRE(head.has_value());
    CHECK(head->host.empty());
}

TEST_CASE("request: what is no HTTP/1 request, or lies about its host, is refused",
          "[unit][front]") {
    const std::string text = GENERATE(as<std::string>{},
                                      "",
                                      "GET\r\n\r\n",
                                      "GET /\r\n\r\n",
                                      "GET / HTTP/2.0\r\n\r\n",
                                      "get / HTTP/1.1\r\n\r\n",
                                      "G<T / HTTP/1.1\r\n\r\n",
                                      "GET /a b HTTP/1.1\r\n\r\n",
                                      "GET /\x01 HTTP/1.1\r\n\r\n",
                                      "GET /\xc3\xa4 HTTP/1.1\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost:\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: :8888\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a:8888:1\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: []\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
                                      "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n");
    CAPTURE(text);
    const auto head = parse_request_head(text);
    REQUIRE(head.has_error());
    CHECK(head.error().kind == ErrorKind::permanent);
}

TEST_CASE("request: hosts of every form are kept with their port", "[unit][front]") {
    const std::string host = GENERATE(
        as<std::string>{}, "vm", "a.b-c_d.example", "1.2.3.4:443", "[2001:db8::1]:8888", "[::1]");
    const auto head = parse_request_head("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
    REQUIRE(head.has_value());
    CHECK(head->host == host);
}

TEST_CASE("request: whatever bytes come, what is taken from them can be written into an answer",
          "[unit][front]") {
    const std::string whole = "GET /lab?x=1 HTTP/1.1\r\nHost: [::1]:8888\r\nCookie: a=b\r\n\r\n";
    const std::string tokens[] = {"\r\n",
                                  "\n",
                                  "\r",
                                  " ",
                                  ":",
                                  "Host: b\r\n",
                                  "\r\n\r\n",
                                  "//",
                                  "HTTP/1.1",
                                  "\0",
                                  "\xff",
                                  "@",
                                  "[",
                                  std::string(40, 'A')};
    std::mt19937 random{20'240'229};
    const auto below = [&](std::size_t limit) {
        return std::uniform_int_distribution<std::size_t>{0, limit - 1}(random);
    };
    unsigned taken = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string text = whole;
        for (std::size_t change = 0; change <= below(4); ++change) {
            const auto at = below(text.size());
            switch (below(4)) {
            case 0:
                text[at] = static_cast<char>(below(256));
                break;
            case 1:
                text.erase(at, 1 + below(8));
                break;
            case 2:
                text.insert(at, tokens[below(std::size(tokens))]);
                break;
            default:
                text.insert(at, text.substr(below(text.size()), below(20)));
            }
            if (text.empty())
                text = whole;
        }
        if (const auto end = end_of_head(text); end && *end > text.size())
            FAIL("the head ends behind the bytes");
        const auto head = parse_request_head(text);
        if (!head)
            continue;
        ++taken;
        const auto plain = [](const std::string& part) {
            return std::all_of(part.begin(), part.end(), [](char c) { return c > ' ' && c < 127; });
        };
        if (!plain(head->method) || !plain(head->target) || !plain(head->host) ||
            !head->target.starts_with('/') ||
            head->host.find_first_of("/@?#\\") != std::string::npos) {
            CAPTURE(text);
            FAIL("what was taken is not plain");
        }
    }
    CHECK(taken > 1'000);
    CHECK(taken < 19'000);
}

} // namespace agent
