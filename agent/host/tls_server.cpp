#include "agent/host/tls_server.hpp"

#include "agent/base/text.hpp"
#include "agent/host/socket_stream.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <limits>

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace agent {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto quietly = asio::as_tuple(asio::use_awaitable);

template <auto Free> struct Freed {
    template <class T> void operator()(T* object) const { Free(object); }
};
using SslContext = std::unique_ptr<SSL_CTX, Freed<&SSL_CTX_free>>;
using Ssl = std::unique_ptr<SSL, Freed<&SSL_free>>;
using BioMethod = std::unique_ptr<BIO_METHOD, Freed<&BIO_meth_free>>;
using Bio = std::unique_ptr<BIO, Freed<&BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<&EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<&X509_free>>;

std::string openssl_reason() {
    const unsigned long code = ERR_get_error();
    ERR_clear_error();
    const char* reason = code ? ERR_reason_error_string(code) : nullptr;
    return reason ? printable(reason, 100) : "no reason given";
}

// What the BIO of one connection points to.
struct Wire {
    int descriptor = -1;
    bool ended = false;
    bool more = false; // another record follows at once
};

Wire& wire_of(BIO* bio) {
    return *static_cast<Wire*>(BIO_get_data(bio));
}

// OpenSSL's own socket BIO uses write(2), which raises SIGPIPE.
int wire_write(BIO* bio, const char* bytes, int count) {
    BIO_clear_retry_flags(bio);
    // The peer is woken once for the records of one piece, not for each.
    const int flags = MSG_NOSIGNAL | (wire_of(bio).more ? MSG_MORE : 0);
    const auto sent =
        ::send(wire_of(bio).descriptor, bytes, static_cast<std::size_t>(count), flags);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return static_cast<int>(sent);
}

int wire_read(BIO* bio, char* bytes, int count) {
    BIO_clear_retry_flags(bio);
    const auto got = ::recv(wire_of(bio).descriptor, bytes, static_cast<std::size_t>(count), 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    if (got == 0)
        wire_of(bio).ended = true;
    return static_cast<int>(got);
}

long wire_control(BIO* bio, int command, long, void*) {
    switch (command) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return wire_of(bio).ended ? 1 : 0;
    default:
        return 0;
    }
}

// Never asks on a terminal: an encrypted key is refused.
int no_passphrase(char*, int, int, void*) {
    return -1;
}

int choose_http_1_1(SSL*,
                    const unsigned char** chosen,
                    unsigned char* chosen_length,
                    const unsigned char* offered,
                    unsigned int offered_length,
                    void*) {
    static constexpr std::array<unsigned char, 9> ours{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char* selected = nullptr;
    if (SSL_select_next_proto(&selected,
                              chosen_length,
                              ours.data(),
                              static_cast<unsigned int>(ours.size()),
                              offered,
                              offered_length) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *chosen = selected;
    return SSL_TLSEXT_ERR_OK;
}

Result<void> use_pem(SSL_CTX* context, const std::string& pem) {
    const std::string next =
        "Remove the file and let the agent make it again, or install a PEM with "
        "an unencrypted key followed by its certificates.";
    const auto open = [&] {
        return Bio{BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))};
    };
    const auto key_bio = open();
    const Key key{PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_passphrase, nullptr)};
    if (!key)
        return misconfigured("The TLS file holds no usable private key: " + openssl_reason() + ".",
                             next);
    const auto certificate_bio = open();
    const Certificate leaf{
        PEM_read_bio_X509(certificate_bio.get(), nullptr, no_passphrase, nullptr)};
    if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1)
        return misconfigured("The TLS file holds no usable certificate: " + openssl_reason() + ".",
                             next);
    if (SSL_CTX_use_PrivateKey(context, key.get()) != 1)
        return misconfigured("The private key in the TLS file does not belong to its first "
                             "certificate: " +
                                 openssl_reason() + ".",
                             next);
    while (const Certificate more{
        PEM_read_bio_X509(certificate_bio.get(), nullptr, no_passphrase, nullptr)}) {
        if (SSL_CTX_add1_chain_cert(context, more.get()) != 1)
            return misconfigured(
                "The certificate chain in the TLS file cannot be used: " + openssl_reason() + ".",
                next);
    }
    ERR_clear_error(); // the end of the chain is "no start line"
    return {};
}

} // namespace

struct TlsServer::State {
    SslContext context;
    BioMethod wire;
};

namespace {

Result<std::shared_ptr<const TlsServer::State>> make_state(const Secret& combined_pem) {
    ERR_clear_error();
    auto state = std::make_shared<TlsServer::State>();
    state->context.reset(SSL_CTX_new(TLS_server_method()));
    state->wire.reset(BIO_meth_new(BIO_get_new_index() + BIO_TYPE_SOURCE_SINK, "agent socket"));
    SSL_CTX* context = state->context.get();
    if (!context || !state->wire)
        return permanent("OpenSSL could not be set up: " + openssl_reason() + ".");
    BIO_meth_set_write(state->wire.get(), wire_write);
    BIO_meth_set_read(state->wire.get(), wire_read);
    BIO_meth_set_ctrl(state->wire.get(), wire_control);

    SSL_CTX_set_options(context,
                        SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                            SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                            SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                         SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); // tickets only
    SSL_CTX_set_alpn_select_cb(context, choose_http_1_1, nullptr);
    if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1 ||
        SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1)
        return permanent("OpenSSL refuses our TLS settings: " + openssl_reason() + ".");
    if (auto used = use_pem(context, combined_pem.reveal()); !used)
        return used.error();
    return std::shared_ptr<const TlsServer::State>{std::move(state)};
}

} // namespace

Result<TlsServer> TlsServer::from_pem(const Secret& combined_pem) {
    auto state = make_state(combined_pem);
    if (!state)
        return state.error();
    return TlsServer{std::make_shared<std::shared_ptr<const State>>(std::move(*state))};
}

Result<void> TlsServer::replace(const Secret& combined_pem) {
    auto state = make_state(combined_pem);
    if (!state)
        return state.error();
    *current_ = std::move(*state);
    return {};
}

namespace {

// An IPv4 address, the /64 of an IPv6 one: whoever has one IPv6 address has a whole /64.
std::string network_of(const tcp::endpoint& peer) {
    auto address = peer.address();
    if (!address.is_v6())
        return address.to_string();
    const auto v6 = address.to_v6();
    if (v6.is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, v6).to_string();
    auto bytes = v6.to_bytes();
    std::fill(bytes.begin() + 8, bytes.end(), static_cast<unsigned char>(0));
    return asio::ip::address_v6{bytes}.to_string();
}

// Idle connections (websockets) are fine, dead peers are not: noticed within about two minutes.
void keep_alive(int descriptor) {
    const auto set = [&](int level, int name, int value) {
        ::setsockopt(descriptor, level, name, &value, sizeof value);
    };
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 15);
    set(IPPROTO_TCP, TCP_KEEPCNT, 4);
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, 120'000);
    set(IPPROTO_TCP, TCP_NODELAY, 1);
}

class TlsConnection final : public Incoming {
public:
    TlsConnection(tcp::socket socket, std::string network, TlsServer server)
        : server_{std::move(server)}, network_{std::move(network)}, socket_{std::move(socket)} {}

    [[nodiscard]] const std::string& peer_network() const override { return network_; }
    asio::awaitable<Result<std::optional<unsigned char>>> peek() override;
    asio::awaitable<Result<void>> start_tls() override;
    Result<std::optional<std::size_t>> try_read(std::span<char> buffer) override;
    Result<std::size_t> try_write(std::string_view bytes) override;
    asio::awaitable<Result<void>> readable() override { return socket_.wait(reading_waits_for_); }
    asio::awaitable<Result<void>> writable() override { return socket_.wait(writing_waits_for_); }
    asio::awaitable<Result<void>> finish_writing() override;
    void close() override { socket_.close(); }
    void interrupt() override { socket_.interrupt(); }
    void expires_after(std::optional<std::chrono::milliseconds> limit) override {
        socket_.expires_after(limit);
    }

private:
    enum class Progress { done, ended, blocked };
    // Makes one SSL_ call, which returns 1 on success; when it is blocked, `waits_for` says by
    // what.
    template <class Step>
    Result<Progress> attempt(std::string_view doing, Readiness& waits_for, Step step);
    // Repeats the call until it is not blocked; waits between.
    template <class Step>
    asio::awaitable<Result<Progress>> drive(std::string_view doing, Step step);

    std::shared_ptr<const TlsServer::State> state_;
    TlsServer server_;
    std::string network_;
    SocketStream socket_;
    Wire wire_;
    Ssl ssl_;
    Readiness reading_waits_for_ = Readiness::readable;
    Readiness writing_waits_for_ = Readiness::writable;
    bool broken_ = false; // OpenSSL forbids SSL_shutdown after a fatal error
};

template <class Step>
Result<TlsConnection::Progress>
TlsConnection::attempt(std::string_view doing, Readiness& waits_for, Step step) {
    // The descriptor is gone after close(), and its number may soon be somebody else's.
    if (auto end = socket_.ended(doing))
        return *std::move(end);
    if (broken_)
        return transient(std::string{doing} + " ended: the connection was closed.");
    ERR_clear_error();
    const int result = step();
    const int system = errno;
    if (result > 0)
        return Progress::done;
    const int reason = SSL_get_error(ssl_.get(), result);
    if (reason == SSL_ERROR_ZERO_RETURN)
        return Progress::ended;
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) {
        waits_for = reason == SSL_ERROR_WANT_READ ? Readiness::readable : Readiness::writable;
        return Progress::blocked;
    }
    broken_ = true;
    return transient(
        std::string{doing} + " failed: " +
        (reason == SSL_ERROR_SYSCALL && system != 0 ? std::strerror(system) : openssl_reason()) +
        ".");
}

template <class Step>
asio::awaitable<Result<TlsConnection::Progress>> TlsConnection::drive(std::string_view doing,
                                                                      Step step) {
    while (true) {
        Readiness needed{};
        const auto progress = attempt(doing, needed, step);
        if (!progress || *progress != Progress::blocked)
            co_return progress;
        if (auto ready = co_await socket_.wait(needed); !ready)
            co_return context(ready.error(), doing);
    }
}

asio::awaitable<Result<std::optional<unsigned char>>> TlsConnection::peek() {
    while (true) {
        if (auto ready = co_await socket_.wait(Readiness::readable); !ready)
            co_return context(ready.error(), "waiting for the first byte");
        unsigned char byte = 0;
        const auto got = ::recv(socket_.descriptor(), &byte, 1, MSG_PEEK);
        if (got == 1)
            co_return std::optional{byte};
        if (got == 0)
            co_return std::optional<unsigned char>{};
        if (errno != EAGAIN && errno != EINTR)
            co_return transient(std::string{"waiting for the first byte failed: "} +
                                std::strerror(errno) + ".");
    }
}

asio::awaitable<Result<void>> TlsConnection::start_tls() {
    wire_.descriptor = socket_.descriptor();
    state_ = server_.state();
    ssl_.reset(SSL_new(state_->context.get()));
    BIO* bio = ssl_ ? BIO_new(state_->wire.get()) : nullptr;
    if (!bio) {
        broken_ = true;
        co_return transient("OpenSSL could not begin a connection: " + openssl_reason() + ".");
    }
    BIO_set_data(bio, &wire_);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_.get(), bio, bio);
    SSL* const ssl = ssl_.get();
    const auto handshake = co_await drive("the TLS handshake", [ssl] { return SSL_accept(ssl); });
    if (!handshake)
        co_return handshake.error();
    if (*handshake == Progress::ended)
        co_return transient("the TLS handshake ended: the peer left.");
    co_return Result<void>{};
}

// A record holds 16 KiB at most: as many are taken as there are and fit, or sent as the peer takes.
Result<std::optional<std::size_t>> TlsConnection::try_read(std::span<char> buffer) {
    if (!ssl_)
        return socket_.try_read(buffer);
    std::size_t all = 0;
    while (all < buffer.size()) {
        std::size_t count = 0;
        const auto read = attempt("reading over TLS", reading_waits_for_, [&] {
            return SSL_read_ex(ssl_.get(), buffer.data() + all, buffer.size() - all, &count);
        });
        if (all > 0 && (!read || *read != Progress::done))
            break; // said again next time
        if (!read)
            return read.error();
        if (*read == Progress::blocked)
            return std::optional<std::size_t>{};
        if (*read == Progress::ended)
            break;
        all += count;
    }
    return std::optional{all};
}

Result<std::size_t> TlsConnection::try_write(std::string_view bytes) {
    if (!ssl_)
        return socket_.try_write(bytes);
    std::size_t all = 0;
    while (all < bytes.size()) {
        std::size_t count = 0;
        wire_.more = bytes.size() - all > SSL3_RT_MAX_PLAIN_LENGTH;
        const auto written = attempt("writing over TLS", writing_waits_for_, [&] {
            return SSL_write_ex(ssl_.get(), bytes.data() + all, bytes.size() - all, &count);
        });
        if (!written)
            return written.error();
        if (*written == Progress::ended)
            return transient("writing over TLS ended: the peer left.");
        if (*written == Progress::blocked)
            break;
        all += count;
    }
    wire_.more = false;
    return all;
}

asio::awaitable<Result<void>> TlsConnection::finish_writing() {
    if (ssl_) {
        SSL* const ssl = ssl_.get();
        // 0: our close_notify is out, the peer's has not come; that is a half-close.
        const auto told = co_await drive("ending TLS", [ssl] {
            const int result = SSL_shutdown(ssl);
            return result == 0 ? 1 : result;
        });
        if (!told)
            co_return told.error();
    }
    co_return co_await socket_.finish_writing();
}

class TlsListener final : public Listener {
public:
    TlsListener(tcp::acceptor acceptor, TlsServer server)
        : acceptor_{std::move(acceptor)}, server_{std::move(server)} {}

    asio::awaitable<Result<std::unique_ptr<Incoming>>> accept() override;
    void close() override {
        boost::system::error_code ignored;
        acceptor_.close(ignored);
    }

private:
    tcp::acceptor acceptor_;
    TlsServer server_;
};

asio::awaitable<Result<std::unique_ptr<Incoming>>> TlsListener::accept() {
    while (acceptor_.is_open()) {
        tcp::socket socket{acceptor_.get_executor()};
        const auto [code] = co_await acceptor_.async_accept(socket, quietly);
        if (code == asio::error::connection_aborted)
            continue;
        if (code)
            co_return transient("accepting a connection failed: " + code.message() + ".");
        boost::system::error_code gone;
        const auto peer = socket.remote_endpoint(gone);
        if (gone)
            continue;
        keep_alive(socket.native_handle());
        std::unique_ptr<Incoming> connection =
            std::make_unique<TlsConnection>(std::move(socket), network_of(peer), server_);
        co_return std::move(connection);
    }
    co_return transient("accepting connections has ended.");
}

// AF_INET or AF_INET6 of a stream socket that listens.
Result<int> listening_family(int descriptor) {
    int listens = 0;
    int family = 0;
    socklen_t length = sizeof listens;
    socklen_t family_length = sizeof family;
    if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) != 0 ||
        ::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &family_length) != 0)
        return system_error("looking at a socket from systemd", errno);
    if (!listens || (family != AF_INET && family != AF_INET6))
        return permanent("Descriptor " + std::to_string(descriptor) +
                             " is no listening TCP socket.",
                         "Use ListenStream= with an address and a port in the socket unit.");
    return family;
}

bool takes_packets(int descriptor) {
    int family = 0;
    int type = 0;
    socklen_t length = sizeof family;
    socklen_t type_length = sizeof type;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 &&
           ::getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &type_length) == 0 &&
           family == AF_UNIX && type == SOCK_SEQPACKET;
}

int number_in(const char* name) {
    const char* text = std::getenv(name);
    int number = 0;
    if (text)
        std::from_chars(text, text + std::strlen(text), number);
    return number;
}

} // namespace

Result<std::unique_ptr<Listener>>
listen_on(const asio::any_io_executor& executor, int listening_socket, TlsServer server) {
    const auto family = listening_family(listening_socket);
    if (!family)
        return family.error();
    tcp::acceptor acceptor{executor};
    boost::system::error_code code;
    acceptor.assign(*family == AF_INET ? tcp::v4() : tcp::v6(), listening_socket, code);
    if (code)
        return permanent("A listening socket cannot be used: " + code.message() + ".");
    return std::unique_ptr<Listener>{
        std::make_unique<TlsListener>(std::move(acceptor), std::move(server))};
}

Result<HeldSockets> sockets_from_systemd() {
    const bool ours = number_in("LISTEN_PID") == ::getpid();
    const int count = ours ? number_in("LISTEN_FDS") : 0;
    for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"})
        ::unsetenv(name);
    constexpr int first = 3; // SD_LISTEN_FDS_START
    constexpr int most = 64;
    HeldSockets held;
    for (int descriptor = first; descriptor < first + std::min(count, most); ++descriptor) {
        if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0)
            return system_error("preparing a socket from systemd", errno);
        if (takes_packets(descriptor)) {
            held.control = descriptor;
            continue;
        }
        if (auto family = listening_family(descriptor); !family)
            return family.error();
        held.listeners.push_back(descriptor);
    }
    if (held.listeners.empty())
        return permanent("systemd has handed over no listening socket.",
                         "Start agent-front.socket rather than the service.");
    return held;
}

} // namespace agent
