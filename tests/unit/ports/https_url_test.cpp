#include "agent/ports/https_url.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("https url: what it is made of", "[unit][ports]") {
    struct Row {
        std::string text;
        std::string host;
        std::uint16_t port;
        std::string target;
    };
    const auto row =
        GENERATE(Row{"https://Example.COM", "example.com", 443, "/"},
                 Row{"HTTPS://example.com:8443/a/b?c=d#e", "example.com", 8443, "/a/b?c=d"},
                 Row{"https://example.com?x", "example.com", 443, "/?x"},
                 Row{"https://example.com:/x", "example.com", 443, "/x"},
                 Row{"https://[::1]:8443/x", "::1", 8443, "/x"},
                 Row{"https://10.0.0.1/x", "10.0.0.1", 443, "/x"},
                 Row{"https://u:p@host/x@y", "host", 443, "/x@y"});
    const HttpsUrl url = parse_https_url(row.text).value();
    CHECK(url.host == row.host);
    CHECK(url.port == row.port);
    CHECK(url.target == row.target);
}

TEST_CASE("https url: what is no https address is refused, and no secret of it is said",
          "[unit][ports]") {
    const std::string text = GENERATE(std::string{"http://secret@host/secret"},
                                      "ftp://host/secret",
                                      "//host/secret",
                                      "/secret",
                                      "",
                                      "https:///secret",
                                      "https://secret@/x",
                                      "https://secret:secret@ho st/x",
                                      "https://host:0/secret",
                                      "https://host:65536/secret",
                                      "https://host:1x/secret",
                                      "https://-oProxyCommand=secret/x",
                                      "https://[::1/secret",
                                      "https://[host]/secret",
                                      "https://host/secret\r\nX: y",
                                      "https://host/se cret",
                                      "https://host/secr\xc3\xa9t",
                                      "https://host/" + std::string(9000, 'x'));
    const auto url = parse_https_url(text);
    REQUIRE(url.has_error());
    CHECK(url.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(url.error().message, !ContainsSubstring("secret"));
}

TEST_CASE("https url: it is said without user, password and query", "[unit][ports]") {
    CHECK(shown(parse_https_url("https://me:secret@host:8443/a%20b?token=secret").value()) ==
          "https://host:8443/a%20b");
    CHECK(shown(parse_https_url("https://[::1]/a").value()) == "https://[::1]/a");
}

TEST_CASE("https url: credentials are decoded", "[unit][ports]") {
    CHECK(parse_https_url("https://me:p%40ss%3@host/").value().credentials.reveal() == "me:p@ss%3");
    CHECK(parse_https_url("https://host/").value().credentials.empty());
}

TEST_CASE("https url: a redirect leads where RFC 3986 says", "[unit][ports]") {
    struct Row {
        std::string location;
        std::string target;
    };
    const auto row = GENERATE(Row{"https://other:1/x?y#z", "https://other:1/x"},
                              Row{"//other/x", "https://other/x"},
                              Row{"/x", "https://host:8443/x"},
                              Row{"x", "https://host:8443/a/b/x"},
                              Row{"./x/", "https://host:8443/a/b/x/"},
                              Row{"../x", "https://host:8443/a/x"},
                              Row{"../../../../x", "https://host:8443/x"},
                              Row{"..", "https://host:8443/a/"},
                              Row{" /x ", "https://host:8443/x"},
                              Row{"/x:y", "https://host:8443/x:y"});
    const HttpsUrl from = parse_https_url("https://host:8443/a/b/c?d").value();
    CHECK(shown(redirected(from, row.location).value()) == row.target);
    CHECK(redirected(from, "?e").value().target == "/a/b/c?e");
}

TEST_CASE("https url: a redirect away from https is an error", "[unit][ports]") {
    const std::string location = GENERATE("http://host/x",
                                          "HTTP://host/x",
                                          "ftp://host/x",
                                          "file:///etc/shadow",
                                          "javascript:1",
                                          "",
                                          "https://",
                                          "/a b",
                                          "/a\r\nb");
    const HttpsUrl from = parse_https_url("https://me:secret@host/a?secret").value();
    const auto to = redirected(from, location);
    REQUIRE(to.has_error());
    CHECK(to.error().kind == ErrorKind::permanent);
    CHECK_THAT(to.error().message, !ContainsSubstring("secret"));
}

TEST_CASE("https url: credentials stay with their host and port", "[unit][ports]") {
    const HttpsUrl from = parse_https_url("https://me:secret@host/a").value();
    CHECK(redirected(from, "/b").value().credentials.reveal() == "me:secret");
    CHECK(redirected(from, "https://host/b").value().credentials.reveal() == "me:secret");
    CHECK(redirected(from, "https://other:theirs@host/b").value().credentials.reveal() ==
          "me:secret");
    CHECK(redirected(from, "https://host:444/b").value().credentials.empty());
    CHECK(redirected(from, "https://you:theirs@other/b").value().credentials.empty());
}

TEST_CASE("https url: a proxy is a host and a port", "[unit][ports]") {
    const ProxyAddress proxy = parse_proxy("http://Proxy:3128/").value();
    CHECK(proxy.host == "proxy");
    CHECK(proxy.port == 3128);
    CHECK(proxy.scheme == ProxyScheme::http);
    CHECK(parse_proxy("HTTPS://p:3129").value().scheme == ProxyScheme::https);
    for (const char* text :
         {"socks://proxy:1", "proxy:1", "http://proxy", "https://:1", "http://p:0"})
        CHECK(parse_proxy(text).has_error());
}

TEST_CASE("https url: names under a domain of no_proxy are reached directly", "[unit][ports]") {
    const std::vector<std::string> direct{
        ".example.com", "internal", "10.0.0.1", "", "172.16.0.0/12", "1.2.3.4/x"};
    for (const char* host : {"example.com",
                             "a.example.com",
                             "internal",
                             "x.internal",
                             "10.0.0.1",
                             "172.16.0.0",
                             "172.31.255.255"})
        CHECK(is_reached_directly(host, direct));
    for (const char* host :
         {"badexample.com", "example.org", "110.0.0.1", "com", "172.32.0.0", "1.2.3.4"})
        CHECK_FALSE(is_reached_directly(host, direct));
}
