#include "agent/base/stop.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/host/http_client.hpp"
#include "agent/ports/crypto.hpp"
#include "tests/support/loopback_http.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <stop_token>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Client {
    boost::asio::io_context io{1};
    std::stop_source stop;
    BeastHttpClient http{io, stop.get_token()};

    Result<HttpResponse> exchange(HttpRequest request) {
        return run_coroutine(io, http.exchange(std::move(request)));
    }
    HttpRequest to(const LoopbackHttp& server) {
        HttpRequest request;
        request.endpoint = TcpEndpoint{"127.0.0.1", server.port()};
        request.host = "127.0.0.1";
        request.target = "/";
        return request;
    }
};

void require_transient(const Result<HttpResponse>& response, const std::string& words) {
    REQUIRE(response.has_error());
    CHECK(response.error().kind == ErrorKind::transient);
    CHECK_THAT(response.error().message, ContainsSubstring(words));
}

std::string test_certificate() {
    return make_certificate("test", {"127.0.0.1"}, std::chrono::system_clock::now())
        .value()
        .reveal();
}

} // namespace

TEST_CASE("http client: a complete response is a success whatever its status", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    const unsigned status = GENERATE(200U, 204U, 302U, 404U, 503U);
    server.answer(http_response(status, status == 204 ? "" : "body", {"X-One: 1", "x-one: 2"}));

    const auto response = client.exchange(client.to(server));

    REQUIRE(response.has_value());
    CHECK(response->status == status);
    CHECK(response->body == (status == 204 ? "" : "body"));
    CHECK(response->header("X-ONE") == "1");
    CHECK(response->header("absent").empty());
}

TEST_CASE("http client: a request carries host, headers and body and asks to close",
          "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.answer(http_response(200, ""));
    HttpRequest request = client.to(server);
    request.method = "PUT";
    request.target = "/path?query=1";
    request.host = "example";
    request.headers["Authorization"] = "token abc";
    request.body = "value";

    REQUIRE(client.exchange(request).has_value());

    REQUIRE(server.requests().size() == 1);
    const std::string& sent = server.requests().front();
    CHECK(sent.starts_with("PUT /path?query=1 HTTP/1.1\r\n"));
    CHECK_THAT(sent, ContainsSubstring("\r\nHost: example\r\n"));
    CHECK_THAT(sent, ContainsSubstring("\r\nConnection: close\r\n"));
    CHECK_THAT(sent, ContainsSubstring("\r\nAuthorization: token abc\r\n"));
    CHECK_THAT(sent, ContainsSubstring("\r\nContent-Length: 5\r\n"));
    CHECK(sent.ends_with("\r\n\r\nvalue"));
}

TEST_CASE("http client: an answer to HEAD has a length and no body", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.answer("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
    HttpRequest request = client.to(server);
    request.method = "HEAD";
    const auto response = client.exchange(request);
    REQUIRE(response.has_value());
    CHECK(response->body.empty());
}

TEST_CASE("http client: an answer that is cut short is a transient error", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.answer(GENERATE("",
                           "HTTP/1.1 200 OK\r\nContent-Le",
                           "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfive!",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfive!\r\n"));
    require_transient(client.exchange(client.to(server)), "cut short");
}

TEST_CASE("http client: an answer over the limits is a transient error", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.answer(GENERATE(http_response(200, std::string(101, 'x')),
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" +
                               std::string(101, 'x') + "\r\n0\r\n\r\n",
                           "HTTP/1.1 200 OK\r\n\r\n" + std::string(101, 'x'),
                           http_response(200, "", {"X: " + std::string(64 * 1024, 'x')})));
    HttpRequest request = client.to(server);
    request.body_limit = 100;
    require_transient(client.exchange(request), "too large");
}

TEST_CASE("http client: what is no HTTP is a transient error", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.answer("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    const auto response = client.exchange(client.to(server));
    REQUIRE(response.has_error());
    CHECK(response.error().kind == ErrorKind::transient);
}

TEST_CASE("http client: no answer within the deadline is a transient error", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.hold();
    HttpRequest request = client.to(server);
    request.deadline = 20ms;
    require_transient(client.exchange(request), "did not answer within 20 ms");
}

TEST_CASE("http client: nobody listening is a transient error that names the address",
          "[unit][host]") {
    Client client;
    HttpRequest request;
    {
        const LoopbackHttp gone{client.io};
        request = client.to(gone);
    }
    const std::string port = std::to_string(std::get<TcpEndpoint>(request.endpoint).port);
    require_transient(client.exchange(request), "127.0.0.1:" + port);
}

TEST_CASE("http client: a stop unwinds the exchange", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.hold();
    SECTION("that has not begun") {
        client.stop.request_stop();
    }
    SECTION("that waits") {
        boost::asio::post(client.io, [&client] { client.stop.request_stop(); });
    }
    CHECK_THROWS_AS(client.exchange(client.to(server)), Stopped);
}

TEST_CASE("http client: what could not be one request is not sent", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    HttpRequest request = client.to(server);
    SECTION("a header with a line break") {
        request.headers["A"] = "b\r\nC: d";
    }
    SECTION("a target with a blank") {
        request.target = "/a b";
    }
    SECTION("a target that is no path") {
        request.target = "a";
    }
    SECTION("a host name, which would have to be looked up") {
        request.endpoint = TcpEndpoint{"localhost", server.port()};
    }
    SECTION("a path too long for a unix socket") {
        request.endpoint = UnixEndpoint{"/" + std::string(200, 'x'), std::nullopt};
    }
    const auto response = client.exchange(request);
    REQUIRE(response.has_error());
    CHECK(response.error().kind == ErrorKind::permanent);
    CHECK(server.connections() == 0);
}

TEST_CASE("http client: a unix socket is answered by the expected user or not at all",
          "[unit][host]") {
    Client client;
    const TempRoot root;
    const auto path = root.path() / "socket";
    LoopbackHttp server{client.io, path};
    server.answer(http_response(200, "yes"));
    HttpRequest request;
    request.host = "localhost";
    request.target = "/";

    SECTION("the right one, or none expected") {
        const auto owner = GENERATE(std::optional{::getuid()}, std::optional<uid_t>{});
        request.endpoint = UnixEndpoint{path, owner};
        const auto response = client.exchange(request);
        REQUIRE(response.has_value());
        CHECK(response->body == "yes");
    }
    SECTION("a foreign one learns nothing") {
        request.endpoint = UnixEndpoint{path, ::getuid() + 1};
        const auto response = client.exchange(request);
        REQUIRE(response.has_error());
        CHECK(response.error().kind == ErrorKind::permanent);
        CHECK_THAT(response.error().message, ContainsSubstring("user id"));
        CHECK(server.requests().empty());
    }
}

TEST_CASE("http client: a unix listener whose queue is full is a transient error", "[unit][host]") {
    Client client;
    const TempRoot root;
    const auto path = root.path() / "socket";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string text = path.string();
    std::copy(text.begin(), text.end(), address.sun_path);
    void* const generic = &address;
    const UniqueFd listener{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    REQUIRE(::bind(listener.get(), static_cast<sockaddr*>(generic), sizeof address) == 0);
    REQUIRE(::listen(listener.get(), 0) == 0);
    const UniqueFd first{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    REQUIRE(::connect(first.get(), static_cast<sockaddr*>(generic), sizeof address) == 0);

    HttpRequest request;
    request.endpoint = UnixEndpoint{path, ::getuid()};
    request.host = "localhost";
    request.target = "/";
    require_transient(client.exchange(request), path.string());
}

TEST_CASE("http client: TLS is spoken only with the pinned certificate", "[unit][host]") {
    Client client;
    const std::string pem = test_certificate();
    LoopbackHttp server{client.io, pem};
    server.answer(http_response(200, "yes"));
    HttpRequest request = client.to(server);
    TlsEndpoint endpoint{"127.0.0.1", server.port(), read_certificate(pem).value().sha256};

    SECTION("the right one") {
        request.endpoint = endpoint;
        const auto response = client.exchange(request);
        REQUIRE(response.has_value());
        CHECK(response->body == "yes");
    }
    SECTION("another one learns nothing") {
        endpoint.certificate_sha256 = std::string(64, '0');
        request.endpoint = endpoint;
        const auto response = client.exchange(request);
        REQUIRE(response.has_error());
        CHECK(response.error().kind == ErrorKind::permanent);
        CHECK_THAT(response.error().message, ContainsSubstring("certificate"));
        CHECK(server.requests().empty());
    }
}

TEST_CASE("http client: a TLS answer without its end is a transient error", "[unit][host]") {
    Client client;
    const std::string pem = test_certificate();
    LoopbackHttp server{client.io, pem};
    server.answer("HTTP/1.1 200 OK\r\n\r\nwithout a length only close_notify could tell the end");
    HttpRequest request = client.to(server);
    request.endpoint =
        TlsEndpoint{"127.0.0.1", server.port(), read_certificate(pem).value().sha256};
    require_transient(client.exchange(request), "cut short");
}

TEST_CASE("http client: a server that speaks no TLS is a transient error", "[unit][host]") {
    Client client;
    LoopbackHttp server{client.io};
    server.answer("HTTP/1.1 400 Bad Request\r\n\r\n");
    HttpRequest request = client.to(server);
    request.endpoint = TlsEndpoint{"127.0.0.1", server.port(), std::string(64, '0')};
    request.deadline = 200ms;
    const auto response = client.exchange(request);
    REQUIRE(response.has_error());
    CHECK(response.error().kind == ErrorKind::transient);
}
