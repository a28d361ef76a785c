#include "agent/host/https_client.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/host/socket_stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/write.hpp>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <mutex>
#include <sstream>
#include <utility>

#include <arpa/inet.h>
#include <nss.h>
#include <sys/socket.h>
#include <sys/stat.h>

namespace agent {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::system_clock;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

constexpr const char* system_certificates = "/etc/ssl/certs/ca-certificates.crt";
constexpr std::uint16_t https_port = 443;
constexpr std::uint32_t header_limit = 64 * 1024;
constexpr auto connect_timeout = std::chrono::seconds{10}; // of one of a name's addresses
constexpr std::size_t most_names = 5;
constexpr std::size_t read_at_once = 64 * 1024;

DownloadFailure failure(Trouble trouble, Error error) {
    return {trouble, std::move(error), {}};
}

// glibc's own in this binary; others named in nsswitch.conf would be loaded from another glibc.
void use_built_in_name_services() {
    static std::once_flag once;
    std::call_once(once, [] { ::__nss_configure_lookup("hosts", "files dns"); });
}

std::string resolvers() {
    const auto content = read_file("/etc/resolv.conf", 65'536);
    std::vector<std::string> found;
    if (content && *content)
        for (const auto& line : split(**content, '\n'))
            if (line.starts_with("nameserver"))
                found.emplace_back(printable(trim(std::string_view{line}.substr(10)), 60));
    return found.empty() ? "no resolver is named in /etc/resolv.conf"
                         : "asked " + join(found, ", ");
}

DownloadFailure lookup_failure(const std::string& host, const error_code& code) {
    std::string message = "looking up " + host + ": ";
    if (code == asio::error::host_not_found || code == asio::error::no_data)
        return failure(Trouble::unreachable,
                       permanent(message + "no such name (" + resolvers() + ")",
                                 "look at the name and at /etc/resolv.conf"));
    return failure(Trouble::unreachable,
                   transient(message + "no answer (" + resolvers() + ")",
                             "see whether DNS works: `getent hosts " + host + "`"));
}

bool is_address(const std::string& host) {
    error_code failed;
    asio::ip::make_address(host, failed);
    return !failed;
}

system_clock::time_point time_of(const ASN1_TIME* time) {
    std::tm parts{};
    if (!time || ::ASN1_TIME_to_tm(time, &parts) != 1)
        return {};
    return system_clock::from_time_t(::timegm(&parts));
}

std::string text_of(const ASN1_STRING* string) {
    if (!string)
        return {};
    const unsigned char* const bytes = ::ASN1_STRING_get0_data(string);
    return printable(std::string{bytes, bytes + ::ASN1_STRING_length(string)}, 120);
}

std::string issuer_of(X509* certificate) {
    X509_NAME* const name = ::X509_get_issuer_name(certificate);
    for (const int part : {NID_commonName, NID_organizationName}) {
        const int at = ::X509_NAME_get_index_by_NID(name, part, -1);
        if (at >= 0)
            return text_of(::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(name, at)));
    }
    return "somebody without a name";
}

struct FreeNames {
    void operator()(GENERAL_NAMES* names) const { ::GENERAL_NAMES_free(names); }
};

std::vector<std::string> names_of(X509* certificate) {
    const std::unique_ptr<GENERAL_NAMES, FreeNames> names{static_cast<GENERAL_NAMES*>(
        ::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
    std::vector<std::string> found;
    for (int i = 0; i < count && found.size() < most_names; ++i) {
        int type = 0;
        const auto* value = static_cast<const ASN1_STRING*>(
            ::GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
        std::array<char, INET6_ADDRSTRLEN> text{};
        if (type == GEN_DNS)
            found.push_back(text_of(value));
        else if (type == GEN_IPADD &&
                 ::inet_ntop(::ASN1_STRING_length(value) == 4 ? AF_INET : AF_INET6,
                             ::ASN1_STRING_get0_data(value),
                             text.data(),
                             text.size()))
            found.emplace_back(text.data());
    }
    return found;
}

std::string base64(const std::string& text) {
    std::vector<unsigned char> out(4 * (text.size() + 2) / 3 + 4);
    const void* const bytes = text.data();
    const int size = ::EVP_EncodeBlock(
        out.data(), static_cast<const unsigned char*>(bytes), static_cast<int>(text.size()));
    return {out.begin(), out.begin() + size};
}

// OpenSSL's macro for it casts in the old style.
bool announce_name(SSL* session, std::string host) {
    return ::SSL_ctrl(
               session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host.data()) == 1;
}

std::string day(system_clock::time_point time) {
    return timestamp(time).substr(0, 10);
}

} // namespace

DownloadFailure explain_certificate(const std::string& host,
                                    const CertificateProblem& problem,
                                    system_clock::time_point now,
                                    int earliest_year) {
    const std::string its = "the certificate of " + host + " ";
    const int year = static_cast<int>(
        std::chrono::year_month_day{std::chrono::floor<std::chrono::days>(now)}.year());
    switch (problem.code) {
    case X509_V_ERR_CERT_NOT_YET_VALID:
        if (year < earliest_year)
            return failure(Trouble::unreachable,
                           transient("the clock says " + std::to_string(year) + ": " + its +
                                         "begins on " + day(problem.not_before),
                                     "the clock is wrong: see `timedatectl`; it is set once the "
                                     "time server is reached"));
        return failure(Trouble::final,
                       permanent(its + "is not valid before " + timestamp(problem.not_before) +
                                     ", and the clock says " + timestamp(now),
                                 "see `timedatectl` whether the clock is right"));
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return failure(Trouble::final,
                       permanent(its + "expired on " + timestamp(problem.not_after) +
                                     ", and the clock says " + timestamp(now),
                                 "tell whoever runs " + host + ", or correct the clock"));
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return failure(
            Trouble::final,
            permanent(its + "is for " +
                          (problem.names.empty() ? "no name" : join(problem.names, ", ")) +
                          ", not for " + host,
                      "look at the URL's host; somebody may be in the way"));
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return failure(Trouble::final,
                       permanent(its + "is signed by itself, by no authority",
                                 "name a bundle that holds it in [network] ca_certificates"));
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return failure(
            Trouble::final,
            permanent(its + "is signed by an authority that is not trusted here: " + problem.issuer,
                      "name a bundle that holds that authority's certificate in "
                      "[network] ca_certificates"));
    default:
        return failure(
            Trouble::final,
            permanent(its + "is not accepted: " + ::X509_verify_cert_error_string(problem.code)));
    }
}

std::string HttpsHead::header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? std::string{} : found->second;
}

namespace {

struct FreeContext {
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
struct FreeSession {
    void operator()(SSL* session) const { ::SSL_free(session); }
};

// The inner session speaks over the outer one, and takes it with it.
bool put_inside(SSL* inner, std::unique_ptr<SSL, FreeSession> outer) {
    BIO* const through = ::BIO_new(::BIO_f_ssl());
    if (!through)
        return false;
    // Freed, it would say goodbye over a descriptor that may be somebody else's by then.
    ::SSL_set_quiet_shutdown(outer.get(), 1);
    SSL* const below = outer.release();
    const bool taken = ::BIO_ctrl(through, BIO_C_SET_SSL, BIO_CLOSE, below) == 1;
    if (!taken)
        outer.reset(below);
    ::SSL_set_bio(inner, through, through);
    return taken;
}

} // namespace

struct HttpsClient::State {
    explicit State(asio::io_context& served) : io{served} {}
    asio::io_context& io;
    HttpsSettings settings;
    std::unique_ptr<SSL_CTX, FreeContext> context{::SSL_CTX_new(::TLS_client_method())};
};

namespace {

// How a connection came to its end, when not as it should.
struct Broken {
    enum class How { closed, late, refused } how = How::closed; // refused: OpenSSL's reason
    unsigned long reason = 0;
    int system = 0;
};
template <class T> using Wired = boost::system::result<T, Broken>;

class TlsHttpsConnection final : public HttpsConnection {
public:
    explicit TlsHttpsConnection(std::shared_ptr<HttpsClient::State> client)
        : client_{std::move(client)} {}

    asio::awaitable<DownloadResult<HttpsHead>>
    ask(HttpsUrl url, std::map<std::string, std::string> headers) override;
    asio::awaitable<DownloadResult<std::size_t>> read(std::span<char> buffer) override;
    void close() override {
        closed_ = true;
        drop();
    }

private:
    using Parser = http::response_parser<http::buffer_body>;
    using Done = DownloadResult<bool>; // true
    struct Hop {
        std::string host;
        std::uint16_t port = 0;
    };
    enum class Body { none, counted, chunked, until_the_end };

    asio::awaitable<Done> open(const HttpsUrl& url);
    asio::awaitable<Done> connect(Hop hop);
    asio::awaitable<Wired<bool>> connect_to(const tcp::endpoint& address);
    asio::awaitable<Done> pass_proxy(const HttpsUrl& url);
    // With the peer, or inside the session that there is already: through an https:// proxy.
    asio::awaitable<Done> start_tls(std::string host, std::string peer);
    asio::awaitable<DownloadResult<HttpsHead>>
    exchange(const HttpsUrl& url, const std::map<std::string, std::string>& headers);

    // One of OpenSSL's calls, again and again until it has done something. 0: the peer has ended
    // TLS.
    template <class Step> asio::awaitable<Wired<std::size_t>> drive(Step step);
    // As many bytes as there are, at least one; 0: the end, in order.
    asio::awaitable<Wired<std::size_t>> receive(std::span<char> buffer);
    asio::awaitable<Wired<std::size_t>> receive_more();
    asio::awaitable<Wired<bool>> send(std::string_view text);
    template <class HeadParser> asio::awaitable<Wired<bool>> read_head(HeadParser& parser);
    asio::awaitable<Wired<std::size_t>> read_counted(std::span<char> buffer);
    asio::awaitable<Wired<std::size_t>> read_chunks(std::span<char> buffer);
    [[nodiscard]] std::size_t take_buffered(std::span<char> buffer);
    void body_ended() { body_ = Body::none; }

    void wait_at_most(std::chrono::milliseconds limit) {
        limit_ = limit;
        if (socket_)
            socket_->expires_after(limit);
    }
    // Else the time in which the caller writes what came would count.
    void wait_for_nothing() {
        if (socket_ && !socket_->expired())
            socket_->expires_after(std::nullopt);
    }
    static int judge_certificate(int accepted, X509_STORE_CTX* store);
    [[nodiscard]] DownloadFailure
    trouble(std::string_view doing, const std::string& peer, const Broken& broken) const;
    [[nodiscard]] DownloadFailure refused_handshake(const std::string& host,
                                                    const Broken& broken) const;
    void drop() {
        if (socket_)
            socket_->close();
        is_open_ = false;
    }

    std::shared_ptr<HttpsClient::State> client_;
    std::optional<SocketStream> socket_;
    std::unique_ptr<SSL, FreeSession> session_; // none yet: plain
    beast::flat_buffer buffer_;
    std::optional<Parser> parser_;
    Body body_ = Body::none;
    std::uint64_t remaining_ = 0; // of a counted body
    std::string host_;            // that it is open to
    std::uint16_t port_ = 0;
    std::optional<CertificateProblem> problem_;
    std::chrono::milliseconds limit_{0};
    bool is_open_ = false;
    bool closed_ = false;
};

DownloadFailure TlsHttpsConnection::trouble(std::string_view doing,
                                            const std::string& peer,
                                            const Broken& broken) const {
    if (closed_)
        return failure(Trouble::abandoned, transient("closed"));
    std::string what = std::string{doing} + " " + peer + ": ";
    if (broken.how == Broken::How::late)
        what += "no answer within " + std::to_string(limit_.count()) + " ms";
    else if (broken.how == Broken::How::refused && broken.reason != 0)
        what += printable(::ERR_reason_error_string(broken.reason)
                              ? ::ERR_reason_error_string(broken.reason)
                              : "TLS failed",
                          120);
    else if (broken.how == Broken::How::refused)
        what += "that is no HTTP";
    else if (broken.system != 0)
        what += std::strerror(broken.system);
    else
        what += "the connection was closed";
    return failure(Trouble::unreachable, transient(std::move(what)));
}

DownloadFailure TlsHttpsConnection::refused_handshake(const std::string& host,
                                                      const Broken& broken) const {
    if (problem_ && !closed_)
        return explain_certificate(
            host, *problem_, system_clock::now(), client_->settings.earliest_year);
    if (broken.how == Broken::How::refused)
        switch (ERR_GET_REASON(broken.reason)) {
        case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        case SSL_R_UNSUPPORTED_PROTOCOL:
        case SSL_R_WRONG_SSL_VERSION:
        case SSL_R_UNKNOWN_PROTOCOL:
            return failure(
                Trouble::final,
                permanent(host + " speaks no TLS 1.2 or newer, and nothing older is used"));
        case SSL_R_WRONG_VERSION_NUMBER:
        case SSL_R_HTTP_REQUEST:
            return failure(Trouble::final, permanent(host + " does not speak TLS at that port"));
        default:
            break;
        }
    return trouble("the TLS handshake with", host, broken);
}

template <class Step> asio::awaitable<Wired<std::size_t>> TlsHttpsConnection::drive(Step step) {
    while (true) {
        if (socket_->ended("speaking"))
            co_return Broken{socket_->expired() ? Broken::How::late : Broken::How::closed};
        ::ERR_clear_error();
        errno = 0;
        std::size_t count = 1;
        const int result = step(count);
        const int system = errno;
        if (result > 0)
            co_return count;
        const int reason = ::SSL_get_error(session_.get(), result);
        if (reason == SSL_ERROR_ZERO_RETURN)
            co_return std::size_t{0};
        if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
            const auto needed =
                reason == SSL_ERROR_WANT_READ ? Readiness::readable : Readiness::writable;
            const auto ready = co_await socket_->wait(needed);
            if (!ready && !socket_->ended("speaking"))
                co_return Broken{};
            continue;
        }
        const unsigned long code = ::ERR_get_error();
        if (reason == SSL_ERROR_SYSCALL || code == 0 ||
            ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            co_return Broken{Broken::How::closed, 0, system};
        co_return Broken{Broken::How::refused, code, 0};
    }
}

asio::awaitable<Wired<std::size_t>> TlsHttpsConnection::receive(std::span<char> buffer) {
    if (!session_) {
        const auto got = co_await socket_->read_some(buffer);
        if (!got)
            co_return Broken{socket_->expired() ? Broken::How::late : Broken::How::closed};
        co_return *got;
    }
    SSL* const session = session_.get();
    auto got = co_await drive([session, buffer](std::size_t& count) {
        return ::SSL_read_ex(session, buffer.data(), buffer.size(), &count);
    });
    if (!got || *got == 0)
        co_return got;
    // A record holds 16 KiB: as many as have come and fit. What ends this is said next time.
    std::size_t all = *got;
    std::size_t count = 0;
    while (all < buffer.size() &&
           ::SSL_read_ex(session, buffer.data() + all, buffer.size() - all, &count) == 1)
        all += count;
    co_return all;
}

asio::awaitable<Wired<std::size_t>> TlsHttpsConnection::receive_more() {
    const auto room = buffer_.prepare(read_at_once);
    auto got = co_await receive({static_cast<char*>(room.data()), room.size()});
    if (got)
        buffer_.commit(*got);
    co_return got;
}

asio::awaitable<Wired<bool>> TlsHttpsConnection::send(std::string_view text) {
    if (!session_) {
        const auto sent = co_await socket_->write_all(text);
        if (!sent)
            co_return Broken{socket_->expired() ? Broken::How::late : Broken::How::closed};
        co_return true;
    }
    SSL* const session = session_.get();
    while (!text.empty()) {
        const auto sent = co_await drive([session, text](std::size_t& count) {
            return ::SSL_write_ex(session, text.data(), text.size(), &count);
        });
        if (!sent)
            co_return sent.error();
        if (*sent == 0)
            co_return Broken{};
        text.remove_prefix(*sent);
    }
    co_return true;
}

template <class HeadParser>
asio::awaitable<Wired<bool>> TlsHttpsConnection::read_head(HeadParser& parser) {
    parser.header_limit(header_limit);
    while (!parser.is_header_done()) {
        error_code code;
        if (buffer_.size() > 0)
            buffer_.consume(parser.put(buffer_.data(), code));
        if (code && code != http::error::need_more)
            co_return Broken{Broken::How::refused};
        if (parser.is_header_done())
            break;
        const auto got = co_await receive_more();
        if (!got)
            co_return got.error();
        if (*got == 0)
            co_return Broken{};
    }
    co_return true;
}

asio::awaitable<Wired<bool>> TlsHttpsConnection::connect_to(const tcp::endpoint& address) {
    error_code failed;
    SocketStream::Socket socket{client_->io};
    socket.open(address.protocol(), failed);
    if (failed)
        co_return Broken{Broken::How::closed, 0, failed.value()};
    socket_.emplace(std::move(socket));
    wait_at_most(
        std::min<std::chrono::milliseconds>(connect_timeout, client_->settings.head_timeout));
    int problem = 0;
    if (::connect(socket_->descriptor(), address.data(), address.size()) != 0) {
        problem = errno;
        if (problem == EINPROGRESS) {
            const auto ready = co_await socket_->wait(Readiness::writable);
            if (!ready)
                co_return Broken{socket_->expired() ? Broken::How::late : Broken::How::closed};
            socklen_t length = sizeof problem;
            ::getsockopt(socket_->descriptor(), SOL_SOCKET, SO_ERROR, &problem, &length);
        }
    }
    if (problem != 0)
        co_return Broken{Broken::How::closed, 0, problem};
    co_return true;
}

asio::awaitable<TlsHttpsConnection::Done> TlsHttpsConnection::connect(Hop hop) {
    use_built_in_name_services();
    tcp::resolver resolver{client_->io};
    const auto [unresolved, addresses] =
        co_await resolver.async_resolve(hop.host, std::to_string(hop.port), quietly);
    if (closed_)
        co_return failure(Trouble::abandoned, transient("closed"));
    if (unresolved)
        co_return lookup_failure(hop.host, unresolved);
    const std::string peer = authority_of(hop.host, hop.port, https_port);
    DownloadFailure last = failure(Trouble::unreachable, transient(peer + " has no address"));
    for (const auto& address : addresses) {
        const auto connected = co_await connect_to(address.endpoint());
        if (connected)
            co_return true;
        last = trouble("connecting to", peer, connected.error());
        if (closed_)
            break;
    }
    co_return last;
}

asio::awaitable<TlsHttpsConnection::Done> TlsHttpsConnection::pass_proxy(const HttpsUrl& url) {
    const auto& proxy = *client_->settings.proxy;
    const std::string peer = "the proxy " + authority_of(proxy.host, proxy.port, 0);
    const std::string target = authority_of(url.host, url.port, 0);
    wait_at_most(client_->settings.head_timeout);
    const std::string request = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n";
    const auto sent = co_await send(request);
    if (!sent)
        co_return trouble("asking", peer, sent.error());
    http::response_parser<http::empty_body> parser;
    parser.skip(true);
    const auto got = co_await read_head(parser);
    if (!got)
        co_return trouble("asking", peer, got.error());
    const unsigned status = parser.get().result_int();
    if (status / 100 == 2 && buffer_.size() == 0)
        co_return true;
    const std::string said = peer + " answered " + std::to_string(status) +
                             (status == 407 ? " (it asks for a login)" : "") + " for " + target;
    const bool may_pass = status == 408 || status == 429 || status >= 500;
    if (status / 100 == 2)
        co_return failure(Trouble::unreachable, transient(said + " and spoke on"));
    co_return may_pass
        ? failure(Trouble::busy, transient(said))
        : failure(
              Trouble::final,
              permanent(said, "let the proxy allow it, or name the host in [network] no_proxy"));
}

// Keeps what is wrong for explain_certificate(): afterwards OpenSSL knows a number only.
int TlsHttpsConnection::judge_certificate(int accepted, X509_STORE_CTX* store) {
    auto* const session = static_cast<SSL*>(
        ::X509_STORE_CTX_get_ex_data(store, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto& found = static_cast<TlsHttpsConnection*>(::SSL_get_ex_data(session, 0))->problem_;
    if (accepted == 1 || found)
        return accepted;
    found.emplace();
    found->code = ::X509_STORE_CTX_get_error(store);
    if (X509* const certificate = ::X509_STORE_CTX_get_current_cert(store)) {
        found->issuer = issuer_of(certificate);
        found->names = names_of(certificate);
        found->not_before = time_of(::X509_get0_notBefore(certificate));
        found->not_after = time_of(::X509_get0_notAfter(certificate));
    }
    return 0;
}

asio::awaitable<TlsHttpsConnection::Done> TlsHttpsConnection::start_tls(std::string host,
                                                                        std::string peer) {
    std::unique_ptr<SSL, FreeSession> outer = std::move(session_);
    session_.reset(::SSL_new(client_->context.get()));
    SSL* const session = session_.get();
    X509_VERIFY_PARAM* const rules = ::SSL_get0_param(session);
    ::X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const bool named = is_address(host)
                           ? ::X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1
                           : ::X509_VERIFY_PARAM_set1_host(rules, host.c_str(), 0) == 1 &&
                                 announce_name(session, host);
    const bool placed = outer ? put_inside(session, std::move(outer))
                              : ::SSL_set_fd(session, socket_->descriptor()) == 1;
    if (!named || !placed || ::SSL_set_ex_data(session, 0, this) != 1)
        co_return failure(Trouble::final, permanent("no certificate can be for " + peer));
    problem_.reset();
    ::SSL_set_verify(session, SSL_VERIFY_PEER, &TlsHttpsConnection::judge_certificate);
    wait_at_most(client_->settings.head_timeout);
    const auto done = co_await drive([session](std::size_t&) { return ::SSL_connect(session); });
    if (!done)
        co_return refused_handshake(peer, done.error());
    if (*done == 0)
        co_return refused_handshake(peer, Broken{});
    co_return true;
}

asio::awaitable<TlsHttpsConnection::Done> TlsHttpsConnection::open(const HttpsUrl& url) {
    drop();
    session_.reset();
    buffer_.clear();
    const auto& proxy = client_->settings.proxy;
    const bool direct = !proxy || is_reached_directly(url.host, client_->settings.no_proxy);
    Hop hop{url.host, url.port};
    if (!direct)
        hop = {proxy->host, proxy->port};
    auto done = co_await connect(hop);
    if (done && !direct && proxy->scheme == ProxyScheme::https) {
        done = co_await start_tls(proxy->host, "the proxy " + proxy->host);
        if (!done && done.error().error.next.empty())
            done.error().error.next = "look at [network] proxy in the configuration";
    }
    if (done && !direct)
        done = co_await pass_proxy(url);
    if (done)
        done = co_await start_tls(url.host, url.host);
    if (!done)
        co_return done;
    host_ = url.host;
    port_ = url.port;
    is_open_ = true;
    co_return true;
}

std::string text_of(const HttpsUrl& url, const std::map<std::string, std::string>& headers) {
    http::request<http::empty_body> request{http::verb::get, url.target, 11};
    request.set(http::field::host, authority_of(url.host, url.port, https_port));
    request.set(http::field::user_agent, "agent");
    request.set(http::field::accept, "*/*");
    request.set(http::field::accept_encoding, "identity");
    if (!url.credentials.empty())
        request.set(http::field::authorization, "Basic " + base64(url.credentials.reveal()));
    for (const auto& [name, value] : headers)
        request.set(name, value);
    std::ostringstream text;
    text << request.base();
    return text.str();
}

asio::awaitable<DownloadResult<HttpsHead>>
TlsHttpsConnection::exchange(const HttpsUrl& url,
                             const std::map<std::string, std::string>& headers) {
    const std::string peer = authority_of(url.host, url.port, https_port);
    const std::string request = text_of(url, headers);
    wait_at_most(client_->settings.head_timeout);
    const auto sent = co_await send(request);
    if (!sent)
        co_return trouble("asking", peer, sent.error());
    parser_.emplace();
    parser_->body_limit(boost::none);
    const auto got = co_await read_head(*parser_);
    wait_for_nothing();
    if (!got)
        co_return trouble("reading the answer of", peer, got.error());
    HttpsHead head;
    head.status = parser_->get().result_int();
    for (const auto& field : parser_->get())
        head.headers.emplace(lower(std::string_view{field.name_string()}), field.value());
    if (const auto length = parser_->content_length())
        head.content_length = *length;
    remaining_ = head.content_length.value_or(0);
    body_ = Body::until_the_end;
    if (parser_->is_done())
        body_ = Body::none;
    else if (parser_->chunked())
        body_ = Body::chunked;
    else if (head.content_length)
        body_ = Body::counted;
    co_return head;
}

asio::awaitable<DownloadResult<HttpsHead>>
TlsHttpsConnection::ask(HttpsUrl url, std::map<std::string, std::string> headers) {
    if (closed_)
        co_return failure(Trouble::abandoned, transient("closed"));
    const bool usable = is_open_ && host_ == url.host && port_ == url.port && parser_ &&
                        body_ == Body::none && parser_->get().keep_alive();
    if (usable) {
        auto head = co_await exchange(url, headers);
        if (head || closed_)
            co_return head;
        // The server may close what it has kept for us whenever it likes: that is no failure.
    }
    const auto opened = co_await open(url);
    if (!opened) {
        drop();
        co_return opened.error();
    }
    auto head = co_await exchange(url, headers);
    if (!head)
        drop();
    co_return head;
}

std::size_t TlsHttpsConnection::take_buffered(std::span<char> buffer) {
    const std::size_t count = std::min(buffer.size(), buffer_.size());
    std::memcpy(buffer.data(), buffer_.data().data(), count);
    buffer_.consume(count);
    return count;
}

// Counted by its length, or until the end: straight into the caller's buffer.
asio::awaitable<Wired<std::size_t>> TlsHttpsConnection::read_counted(std::span<char> buffer) {
    if (body_ == Body::counted)
        buffer = buffer.first(std::min<std::uint64_t>(buffer.size(), remaining_));
    std::size_t count = take_buffered(buffer);
    if (count == 0) {
        const auto got = co_await receive(buffer);
        if (!got)
            co_return got.error();
        count = *got;
    }
    if (count == 0 && body_ == Body::counted)
        co_return Broken{};
    remaining_ -= body_ == Body::counted ? count : 0;
    if (count == 0 || (body_ == Body::counted && remaining_ == 0))
        body_ended();
    co_return count;
}

asio::awaitable<Wired<std::size_t>> TlsHttpsConnection::read_chunks(std::span<char> buffer) {
    auto& body = parser_->get().body();
    while (true) {
        body.data = buffer.data();
        body.size = buffer.size();
        body.more = true;
        error_code code;
        std::size_t used = 0;
        if (buffer_.size() > 0)
            used = parser_->put(buffer_.data(), code);
        buffer_.consume(used);
        const std::size_t count = buffer.size() - body.size;
        if (parser_->is_done())
            body_ended();
        if (count > 0 || parser_->is_done())
            co_return count;
        if (code && code != http::error::need_more && code != http::error::need_buffer)
            co_return Broken{Broken::How::refused};
        if (used > 0 && !code)
            continue;
        const auto got = co_await receive_more();
        if (!got)
            co_return got.error();
        if (*got == 0)
            co_return Broken{};
    }
}

asio::awaitable<DownloadResult<std::size_t>> TlsHttpsConnection::read(std::span<char> buffer) {
    if (closed_)
        co_return failure(Trouble::abandoned, transient("closed"));
    if (body_ == Body::none)
        co_return std::size_t{0};
    wait_at_most(client_->settings.idle_timeout);
    Wired<std::size_t> got = std::size_t{0};
    if (body_ == Body::chunked)
        got = co_await read_chunks(buffer);
    else
        got = co_await read_counted(buffer);
    wait_for_nothing();
    if (got)
        co_return *got;
    drop();
    if (closed_)
        co_return failure(Trouble::abandoned, transient("closed"));
    const std::string peer = authority_of(host_, port_, https_port);
    if (got.error().how == Broken::How::late)
        co_return failure(
            Trouble::stalled,
            transient(peer + " sent nothing for " + std::to_string(limit_.count()) + " ms"));
    co_return failure(Trouble::cut_short, transient(peer + " ended the body too early"));
}

} // namespace

Result<HttpsClient> HttpsClient::make(asio::io_context& io, HttpsSettings settings) {
    auto state = std::make_shared<State>(io);
    const bool own = !settings.ca_certificates.empty();
    const std::string bundle = own ? settings.ca_certificates.string() : system_certificates;
    const std::string what =
        (own ? "[network] ca_certificates: " : "the system's certificate authorities: ") + bundle;
    const std::string next = own ? "correct [network] ca_certificates in the configuration"
                                 : "install the package ca-certificates";
    struct stat found{};
    if (::stat(bundle.c_str(), &found) != 0)
        return misconfigured(what + " cannot be read: " + std::strerror(errno), next);
    SSL_CTX* const context = state->context.get();
    if (!context || ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
        return permanent("OpenSSL could not be set up");
    const bool loaded = ::SSL_CTX_load_verify_file(context, bundle.c_str()) == 1;
    ::ERR_clear_error();
    if (!loaded)
        return misconfigured(what + " holds no certificate that can be read", next);
    ::SSL_CTX_set_mode(context,
                       SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // Several records a system call.
    ::SSL_CTX_set_read_ahead(context, 1);
    ::SSL_CTX_set_default_read_buffer_len(context, read_at_once);
    state->settings = std::move(settings);
    return HttpsClient{std::move(state)};
}

std::unique_ptr<HttpsConnection> HttpsClient::connection() const {
    return std::make_unique<TlsHttpsConnection>(state_);
}

} // namespace agent
