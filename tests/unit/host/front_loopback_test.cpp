// The front with its real adapters: TLS and a unix socket on this machine's loopback.
#include "agent/front/front.hpp"
#include "agent/host/http_client.hpp"
#include "agent/host/tls_server.hpp"
#include "agent/host/unix_backend.hpp"
#include "agent/ports/crypto.hpp"
#include "tests/fakes/fake_notifier.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <unistd.h>

using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;

namespace agent {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Local = asio::local::stream_protocol;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

const std::string& certificate() {
    static const std::string pem =
        make_certificate("vm", {"localhost"}, std::chrono::system_clock::now())->reveal();
    return pem;
}

// Answers like a locked Jupyter; anything else but its API with `body`, after the request has
// ended.
class FakeJupyter {
public:
    FakeJupyter(asio::io_context& io, const std::filesystem::path& path, std::string body)
        : served_{std::make_shared<Served>(io, path, std::move(body))} {
        asio::co_spawn(io, accept(served_), [](const std::exception_ptr&) {});
    }
    FakeJupyter(const FakeJupyter&) = delete;
    FakeJupyter& operator=(const FakeJupyter&) = delete;
    ~FakeJupyter() {
        boost::system::error_code ignored;
        served_->acceptor.close(ignored);
        ::unlink(served_->path.c_str());
    }
    [[nodiscard]] const std::vector<std::string>& requests() const { return served_->requests; }

private:
    struct Served {
        Served(asio::io_context& io, std::filesystem::path where, std::string what)
            : acceptor{io, Local::endpoint{where.string()}}, path{std::move(where)},
              body{std::move(what)} {}
        Local::acceptor acceptor;
        std::filesystem::path path;
        std::string body;
        std::vector<std::string> requests;
    };
    static asio::awaitable<void> accept(std::shared_ptr<Served> served) {
        while (true) {
            auto [code, socket] = co_await served->acceptor.async_accept(quietly);
            if (code)
                co_return;
            asio::co_spawn(served->acceptor.get_executor(),
                           serve(served, std::move(socket)),
                           [](const std::exception_ptr&) {});
        }
    }
    static asio::awaitable<void> serve(std::shared_ptr<Served> served, Local::socket socket) {
        std::string head;
        const auto [code, count] = co_await asio::async_read_until(
            socket, asio::dynamic_buffer(head), "\r\n\r\n", quietly);
        if (code)
            co_return;
        served->requests.push_back(head);
        std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: ";
        if (head.starts_with("GET /api/contents"))
            answer = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        else if (head.starts_with("GET /api/status"))
            answer += "0\r\n\r\n";
        else
            answer += std::to_string(served->body.size()) + "\r\n\r\n" + served->body;
        co_await asio::async_write(socket, asio::buffer(answer), quietly);
    }
    std::shared_ptr<Served> served_;
};

struct Loopback {
    explicit Loopback(uid_t owner = ::getuid())
        : http{io, stop.get_token()}, backend{io.get_executor(), socket_path(), owner} {
        settings.backend = {socket_path(), owner};
        settings.token = Secret{"token"};
        settings.status_file = temp.path() / "status.json";
        settings.times.drain = 1ms;
        settings.times.linger = 100ms;
        settings.times.gate = {2ms, 2ms};
    }
    ~Loopback() {
        stop.request_stop();
        until([this] { return ended; });
    }
    Loopback(const Loopback&) = delete;
    Loopback& operator=(const Loopback&) = delete;

    [[nodiscard]] std::filesystem::path socket_path() const { return temp.path() / "jupyter.sock"; }

    void run() {
        tcp::acceptor acceptor{io, tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
        port = acceptor.local_endpoint().port();
        auto made = TlsServer::from_pem(Secret{certificate()});
        REQUIRE(made.has_value());
        server.emplace(std::move(*made));
        auto listener = listen_on(io.get_executor(), acceptor.release(), *server);
        REQUIRE(listener.has_value());
        FrontWorld world{{}, backend, http, notifier, nullptr, {}};
        world.listeners.push_back(std::move(*listener));
        ended = false;
        asio::co_spawn(io,
                       run_front(std::move(world), settings, stop.get_token()),
                       [this](const std::exception_ptr&) { ended = true; });
        until([this] { return said("READY=1"); });
    }
    [[nodiscard]] bool relaying() const {
        return said("STATUS=") && notifier.words.back().ends_with("Relaying to Jupyter.");
    }
    [[nodiscard]] bool said(const std::string& start) const {
        return !notifier.words.empty() && notifier.words.back().starts_with(start);
    }
    template <class Done> void until(Done done) {
        io.restart();
        const auto end = std::chrono::steady_clock::now() + 20s;
        while (!done() && io.run_one_until(end) > 0) {
        }
        REQUIRE(done());
    }

    tcp::socket connected() {
        tcp::socket socket{io};
        socket.connect(tcp::endpoint{asio::ip::address_v4::loopback(), port});
        return socket;
    }
    // Everything that comes until the end, after `bytes` were sent in the clear.
    std::string plain(std::string bytes) {
        return test::run_coroutine(io, talk(connected(), std::move(bytes)));
    }
    enum class Ending { whole, half_closed };
    std::string get(int tls_version = TLS1_3_VERSION, Ending ending = Ending::whole) {
        return test::run_coroutine(io, get_over_tls(connected(), tls_version, ending));
    }

    static asio::awaitable<std::string> talk(tcp::socket socket, std::string bytes) {
        co_await asio::async_write(socket, asio::buffer(bytes), quietly);
        std::string all;
        co_await asio::async_read(socket, asio::dynamic_buffer(all), quietly);
        co_return all;
    }
    static asio::awaitable<std::string>
    get_over_tls(tcp::socket socket, int tls_version, Ending ending) {
        asio::ssl::context context{asio::ssl::context::tls_client};
        SSL_CTX_set_min_proto_version(context.native_handle(), tls_version);
        SSL_CTX_set_max_proto_version(context.native_handle(), tls_version);
        asio::ssl::stream<tcp::socket> stream{std::move(socket), context};
        const auto [refused] =
            co_await stream.async_handshake(asio::ssl::stream_base::client, quietly);
        if (refused)
            co_return "handshake: " + refused.message();
        const std::string request = "GET /lab HTTP/1.1\r\nHost: localhost\r\n\r\n";
        co_await asio::async_write(stream, asio::buffer(request), quietly);
        if (ending == Ending::half_closed)
            stream.next_layer().shutdown(tcp::socket::shutdown_send);
        std::string all;
        const auto [code, count] =
            co_await asio::async_read(stream, asio::dynamic_buffer(all), quietly);
        if (code != asio::error::eof)
            co_return "not ended in order: " + code.message();
        co_return all;
    }

    asio::io_context io{1};
    test::TempRoot temp;
    std::stop_source stop;
    BeastHttpClient http;
    UnixBackend backend;
    test::FakeNotifier notifier;
    FrontSettings settings;
    std::optional<TlsServer> server; // shares what it serves with the front's
    std::uint16_t port = 0;
    bool ended = true;
};

} // namespace

TEST_CASE("front on loopback: the page, then Jupyter, then the page again", "[unit][host]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    Loopback loopback;
    loopback.run();
    CHECK_THAT(loopback.get(version), StartsWith("HTTP/1.1 503 "));
    std::optional<FakeJupyter> jupyter;
    jupyter.emplace(loopback.io, loopback.socket_path(), "notebook");
    loopback.until([&] { return loopback.relaying(); });
    CHECK(loopback.get(version) == "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nnotebook");
    const auto& requests = jupyter->requests();
    CHECK(std::count(requests.begin(),
                     requests.end(),
                     "GET /lab HTTP/1.1\r\nHost: localhost\r\n\r\n") == 1);
    jupyter.reset();
    CHECK_THAT(loopback.get(version), StartsWith("HTTP/1.1 503 "));
}

TEST_CASE("front on loopback: much goes through whole", "[unit][host]") {
    const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    Loopback loopback;
    std::string body;
    for (int i = 0; body.size() < 3'000'000; ++i)
        body += std::to_string(i) + ' ';
    const FakeJupyter jupyter{loopback.io, loopback.socket_path(), body};
    loopback.run();
    const auto answer = loopback.get(version);
    CHECK(answer.size() > body.size());
    CHECK(answer.ends_with(body));
}

TEST_CASE("front on loopback: a client that ends its direction still gets its answer",
          "[unit][host]") {
    Loopback loopback;
    const FakeJupyter jupyter{loopback.io, loopback.socket_path(), "late"};
    loopback.run();
    CHECK_THAT(loopback.get(TLS1_3_VERSION, Loopback::Ending::half_closed),
               ContainsSubstring("late"));
}

TEST_CASE("front on loopback: a listener of another user never gets a byte", "[unit][host]") {
    Loopback loopback{::getuid() + 1};
    const FakeJupyter jupyter{loopback.io, loopback.socket_path(), "stolen"};
    loopback.run();
    CHECK_THAT(loopback.notifier.words.front(), ContainsSubstring("belongs to user"));
    CHECK_THAT(loopback.get(), StartsWith("HTTP/1.1 503 "));
    CHECK(jupyter.requests().empty());
}

TEST_CASE("front on loopback: plain HTTP is redirected, garbage closed", "[unit][host]") {
    Loopback loopback;
    loopback.run();
    CHECK_THAT(loopback.plain("GET /tree HTTP/1.1\r\nHost: 127.0.0.1:8888\r\n\r\n"),
               ContainsSubstring("\r\nLocation: https://127.0.0.1:8888/tree\r\n"));
    CHECK_THAT(loopback.plain("GET / HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
    CHECK(loopback.plain(std::string{"\x04\x01", 2}).empty());
}

TEST_CASE("front on loopback: who does not finish the handshake is cut", "[unit][host]") {
    Loopback loopback;
    loopback.settings.times.handshake = 5ms;
    loopback.run();
    CHECK(loopback.plain("").empty());
    CHECK(loopback.plain(std::string{"\x16\x03\x01\x02\x00\x01", 6}).empty());
}

TEST_CASE("front on loopback: what is no TLS behind its first byte is cut", "[unit][host]") {
    Loopback loopback;
    loopback.run();
    // At most an alert, which is what OpenSSL says to what it does not understand.
    CHECK(loopback.plain("\x16 is not a ClientHello at all").size() <= 7);
}

TEST_CASE("front on loopback: TLS 1.0 and 1.1 are refused", "[unit][host]") {
    const int version = GENERATE(TLS1_VERSION, TLS1_1_VERSION);
    Loopback loopback;
    loopback.run();
    CHECK_THAT(loopback.get(version), StartsWith("handshake: "));
    CHECK_THAT(loopback.get(TLS1_2_VERSION), StartsWith("HTTP/1.1 503 "));
}

TEST_CASE("front on loopback: a certificate is swapped under running sessions", "[unit][host]") {
    const std::string other =
        make_certificate("vm", {"localhost"}, std::chrono::system_clock::now())->reveal();
    Loopback loopback;
    loopback.run();
    asio::ssl::context context{asio::ssl::context::tls_client};
    const auto connect = [&] {
        asio::ssl::stream<tcp::socket> stream{loopback.connected(), context};
        boost::system::error_code failure;
        bool done = false;
        stream.async_handshake(asio::ssl::stream_base::client,
                               [&](const boost::system::error_code& code) {
                                   failure = code;
                                   done = true;
                               });
        loopback.until([&] { return done; });
        REQUIRE_FALSE(failure);
        return stream;
    };
    const auto shown = [](asio::ssl::stream<tcp::socket>& stream) {
        X509* const leaf = SSL_get1_peer_certificate(stream.native_handle());
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned length = 0;
        X509_digest(leaf, EVP_sha256(), digest, &length);
        X509_free(leaf);
        std::string hex;
        for (unsigned i = 0; i < length; ++i) {
            constexpr const char* digits = "0123456789abcdef";
            hex += digits[digest[i] / 16];
            hex += digits[digest[i] % 16];
        }
        return hex;
    };
    auto before = connect();
    CHECK(shown(before) == read_certificate(certificate())->sha256);
    CHECK(loopback.server->replace(Secret{"no PEM"}).has_error());
    auto between = connect();
    CHECK(shown(between) == read_certificate(certificate())->sha256);
    REQUIRE(loopback.server->replace(Secret{other}).has_value());
    auto after = connect();
    CHECK(shown(after) == read_certificate(other)->sha256);
    // The one from before still works.
    const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const auto answer = [](asio::ssl::stream<tcp::socket>& stream,
                           std::string bytes) -> asio::awaitable<std::string> {
        co_await asio::async_write(stream, asio::buffer(bytes), quietly);
        std::string all;
        co_await asio::async_read(stream, asio::dynamic_buffer(all), quietly);
        co_return all;
    };
    CHECK_THAT(test::run_coroutine(loopback.io, answer(before, request)),
               StartsWith("HTTP/1.1 503 "));
}

TEST_CASE("tls: only a PEM with a key and its certificate is taken", "[unit][host]") {
    const auto other = make_certificate("other", {"other"}, std::chrono::system_clock::now());
    REQUIRE(other.has_value());
    const auto begin = certificate().find("-----BEGIN CERTIFICATE");
    REQUIRE(begin != std::string::npos);
    const auto other_begin = other->reveal().find("-----BEGIN CERTIFICATE");
    // make_certificate puts the key first.
    const std::string key = certificate().substr(0, begin);
    const std::string pem = GENERATE_COPY(as<std::string>{},
                                          "",
                                          "no PEM",
                                          key,
                                          certificate().substr(begin),
                                          key + other->reveal().substr(other_begin));
    const auto server = TlsServer::from_pem(Secret{pem});
    REQUIRE(server.has_error());
    CHECK(server.error().kind == ErrorKind::misconfigured);
    CHECK(server.error().message.find("-----") == std::string::npos);
}

} // namespace agent
