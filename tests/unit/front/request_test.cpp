#include "agent/front/request.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

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
                                      "GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n");
    CAPTURE(text);
    const auto head = parse_request_head(text);
    REQUIRE(head.has_error());
    CHECK(head.error().kind == ErrorKind::permanent);
}

} // namespace agent
