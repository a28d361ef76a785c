#include "agent/host/http_client.hpp"

#include "agent/base/stop.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>
#include <openssl/x509.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include <sys/socket.h>
#include <sys/un.h>

namespace agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using boost::system::error_code;
using Socket = asio::generic::stream_protocol::socket;
using Endpoint = asio::generic::stream_protocol::endpoint;

constexpr std::uint32_t header_limit = 32 * 1024;

enum class CutOff { no, late, stopped };

// Shared with the handlers of the deadline and of the stop request, which may outlive the
// coroutine.
struct Connection {
    explicit Connection(asio::io_context& io) : socket{io}, timer{io} {}

    void cut(CutOff reason) {
        if (cut_off == CutOff::no)
            cut_off = reason;
        error_code ignored;
        socket.close(ignored);
    }

    Socket socket;
    asio::steady_timer timer;
    CutOff cut_off = CutOff::no;
};

std::string with_port(const std::string& address, std::uint16_t port) {
    const bool v6 = address.find(':') != std::string::npos;
    return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
}

std::string name_of(const HttpRequest& request) {
    if (const auto* tcp = std::get_if<TcpEndpoint>(&request.endpoint))
        return with_port(tcp->address, tcp->port);
    if (const auto* tls = std::get_if<TlsEndpoint>(&request.endpoint))
        return with_port(tls->address, tls->port);
    return std::get<UnixEndpoint>(request.endpoint).path.string();
}

// Asio's generic endpoint can be made of anything, also of an Error: hence the tag.
Result<Endpoint> no_address(Error error) {
    return {boost::system::in_place_error, std::move(error)};
}

Result<Endpoint> tcp_address(const std::string& address, std::uint16_t port) {
    error_code failed;
    const auto parsed = asio::ip::make_address(address, failed);
    if (failed)
        return no_address(permanent("\"" + printable(address, 80) + "\" is not a numeric address"));
    return Endpoint{asio::ip::tcp::endpoint{parsed, port}};
}

Result<Endpoint> address_of(const HttpRequest& request) {
    if (const auto* tcp = std::get_if<TcpEndpoint>(&request.endpoint))
        return tcp_address(tcp->address, tcp->port);
    if (const auto* tls = std::get_if<TlsEndpoint>(&request.endpoint))
        return tcp_address(tls->address, tls->port);
    const std::string path = std::get<UnixEndpoint>(request.endpoint).path.string();
    if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path))
        return no_address(
            permanent("\"" + printable(path, 200) + "\" cannot be the path of a unix socket"));
    return Endpoint{asio::local::stream_protocol::endpoint{path}};
}

bool has_control_characters(std::string_view text) {
    return std::any_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    });
}

// Beast writes what it is given: a line break in a value would start a header of its own.
bool is_well_formed(const HttpRequest& request) {
    const auto bad_target = [](const std::string& target) {
        return target.empty() || target.front() != '/' || has_control_characters(target) ||
               target.find(' ') != std::string::npos;
    };
    if (request.method.empty() || has_control_characters(request.method) ||
        has_control_characters(request.host) || bad_target(request.target))
        return false;
    return std::none_of(request.headers.begin(), request.headers.end(), [](const auto& header) {
        return header.first.empty() || has_control_characters(header.first) ||
               has_control_characters(header.second);
    });
}

http::request<http::string_body> message_of(const HttpRequest& request) {
    http::request<http::string_body> message;
    message.version(11);
    message.method_string(request.method);
    message.target(request.target);
    message.set(http::field::host, request.host);
    message.set(http::field::connection, "close");
    for (const auto& [name, value] : request.headers)
        message.set(name, value);
    message.body() = request.body;
    message.prepare_payload();
    return message;
}

HttpResponse response_of(http::response<http::string_body> message) {
    HttpResponse response;
    response.status = message.result_int();
    for (const auto& field : message)
        response.headers.emplace(lower(std::string_view{field.name_string()}), field.value());
    response.body = std::move(message.body());
    return response;
}

// The credentials are those of the process that called listen(2), as of that call.
Result<void> check_owner(int fd, const UnixEndpoint& endpoint) {
    // A unix socket whose listener's queue is full refuses with EAGAIN, which looks like "connected
    // later" to a reactor: only the peer's name tells.
    sockaddr peer{};
    socklen_t length = sizeof peer;
    if (::getpeername(fd, &peer, &length) != 0)
        return transient("connecting to " + endpoint.path.string() + ": the listener is too busy");
    if (!endpoint.owner)
        return {};
    ucred credentials{};
    length = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0)
        return system_error("asking who listens on " + endpoint.path.string(), errno);
    if (credentials.uid != *endpoint.owner)
        return permanent("a process of user id " + std::to_string(credentials.uid) +
                             " listens on " + endpoint.path.string() + ", not one of user id " +
                             std::to_string(*endpoint.owner),
                         "find it with `ss -xlp` and end it");
    return {};
}

Result<void> check_certificate(SSL* session, const TlsEndpoint& endpoint, const std::string& peer) {
    const std::unique_ptr<X509, decltype(&::X509_free)> certificate{
        ::SSL_get1_peer_certificate(session), &::X509_free};
    std::string der;
    if (certificate) {
        unsigned char* bytes = nullptr;
        const int size = ::i2d_X509(certificate.get(), &bytes);
        if (size > 0)
            der.assign(bytes, bytes + size);
        ::OPENSSL_free(bytes);
    }
    if (der.empty())
        return permanent(peer + " showed no certificate");
    if (const std::string found = sha256_hex(der); found != lower(endpoint.certificate_sha256))
        return permanent(peer + " showed a certificate with SHA-256 " + found + ", expected " +
                             printable(endpoint.certificate_sha256, 80),
                         "something else listens there: find it with `ss -tlnp`");
    return {};
}

Error failed(std::string_view doing, const std::string& peer, const error_code& code) {
    std::string what = code.message();
    if (code == http::error::body_limit || code == http::error::header_limit)
        what = "the response is too large";
    else if (code == http::error::end_of_stream || code == http::error::partial_message ||
             code == ssl::error::stream_truncated || code == asio::error::eof)
        what = "the response was cut short";
    return transient(std::string{doing} + " " + peer + ": " + what);
}

template <class Stream>
asio::awaitable<Result<HttpResponse>>
converse(Stream& stream, const HttpRequest& request, const std::string& peer) {
    error_code code;
    const auto message = message_of(request);
    co_await http::async_write(stream, message, asio::redirect_error(asio::use_awaitable, code));
    if (code)
        co_return failed("sending a request to", peer, code);

    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.header_limit(header_limit);
    parser.body_limit(request.body_limit);
    parser.skip(request.method == "HEAD");
    co_await http::async_read(
        stream, buffer, parser, asio::redirect_error(asio::use_awaitable, code));
    if (code)
        co_return failed("reading the answer of", peer, code);
    co_return response_of(parser.release());
}

asio::awaitable<Result<HttpResponse>>
converse_in_tls(Socket& socket, const HttpRequest& request, const std::string& peer) {
    ssl::context context{ssl::context::tls_client};
    ::SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_2_VERSION);
    ssl::stream<Socket&> stream{socket, context};
    stream.set_verify_mode(ssl::verify_none);
    error_code code;
    co_await stream.async_handshake(ssl::stream_base::client,
                                    asio::redirect_error(asio::use_awaitable, code));
    if (code)
        co_return failed("the TLS handshake with", peer, code);
    const auto& endpoint = std::get<TlsEndpoint>(request.endpoint);
    if (auto ours = check_certificate(stream.native_handle(), endpoint, peer); !ours)
        co_return std::move(ours).error();
    co_return co_await converse(stream, request, peer);
}

asio::awaitable<Result<HttpResponse>>
connect_and_converse(Socket& socket, const HttpRequest& request, const std::string& peer) {
    const auto address = address_of(request);
    if (!address)
        co_return address.error();
    error_code code;
    co_await socket.async_connect(*address, asio::redirect_error(asio::use_awaitable, code));
    if (code)
        co_return failed("connecting to", peer, code);
    if (std::holds_alternative<TlsEndpoint>(request.endpoint))
        co_return co_await converse_in_tls(socket, request, peer);
    if (const auto* local = std::get_if<UnixEndpoint>(&request.endpoint))
        if (auto ours = check_owner(socket.native_handle(), *local); !ours)
            co_return std::move(ours).error();
    co_return co_await converse(socket, request, peer);
}

} // namespace

BeastHttpClient::BeastHttpClient(asio::io_context& io, std::stop_token stop)
    : io_{io}, stop_{std::move(stop)} {}

asio::awaitable<Result<HttpResponse>> BeastHttpClient::exchange(HttpRequest request) {
    throw_if_stopped(stop_);
    const std::string peer = name_of(request);
    if (!is_well_formed(request))
        co_return permanent("the request to " + peer +
                            " has a line break or a blank where none may be");

    const auto connection = std::make_shared<Connection>(io_);
    const std::stop_callback on_stop{
        stop_, [connection, &io = io_] {
            asio::post(io, [connection] { connection->cut(CutOff::stopped); });
        }};
    connection->timer.expires_after(request.deadline);
    connection->timer.async_wait([connection](const error_code& cancelled) {
        if (!cancelled)
            connection->cut(CutOff::late);
    });

    Result<HttpResponse> response =
        co_await connect_and_converse(connection->socket, request, peer);
    connection->timer.cancel();
    error_code ignored;
    connection->socket.close(ignored);
    if (response)
        co_return response;
    if (connection->cut_off == CutOff::stopped)
        throw Stopped{};
    if (connection->cut_off == CutOff::late)
        co_return transient(peer + " did not answer within " +
                            std::to_string(request.deadline.count()) + " ms");
    co_return response;
}

} // namespace agent
