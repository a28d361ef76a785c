// Owns a server on the loopback (TCP, TLS or a unix socket) that says what a test tells it to, byte
// by byte: right, wrong, cut short or nothing at all.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agent::test {

// A complete response with its length; `headers` are whole lines without their ends.
inline std::string http_response(unsigned status,
                                 std::string_view body,
                                 const std::vector<std::string>& headers = {}) {
    std::string text = "HTTP/1.1 " + std::to_string(status) + " Status\r\n";
    for (const auto& line : headers)
        text += line + "\r\n";
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    return text.append(body);
}

class LoopbackHttp {
public:
    // Where it listens is decided by the constructor; it accepts until it is destroyed. It serves
    // on the test's own io_context, which must outlive it.
    explicit LoopbackHttp(boost::asio::io_context& io) : LoopbackHttp{io, std::nullopt} {}
    // With TLS 1.2 or newer; the PEM holds the key and the certificate.
    LoopbackHttp(boost::asio::io_context& io, const std::string& combined_pem)
        : LoopbackHttp{io, std::optional{combined_pem}} {}
    LoopbackHttp(boost::asio::io_context& io, const std::filesystem::path& unix_path)
        : served_{std::make_shared<Served>(io)} {
        listen(boost::asio::local::stream_protocol::endpoint{unix_path.string()});
    }
    LoopbackHttp(const LoopbackHttp&) = delete;
    LoopbackHttp& operator=(const LoopbackHttp&) = delete;
    ~LoopbackHttp() {
        boost::system::error_code ignored;
        served_->acceptor.close(ignored);
        for (const auto& held : served_->held)
            held->close(ignored);
    }

    [[nodiscard]] std::uint16_t port() const { return served_->port; }

    // The raw bytes of the next answer, after which the connection is closed.
    void answer(std::string bytes) { served_->answers.emplace_back(std::move(bytes)); }
    // The next request is read and never answered.
    void hold() { served_->answers.emplace_back(std::nullopt); }

    // Head and body of each request, as they came.
    [[nodiscard]] const std::vector<std::string>& requests() const { return served_->requests; }
    // Connections, also those that never brought a request.
    [[nodiscard]] unsigned connections() const { return served_->connections; }

private:
    using Protocol = boost::asio::generic::stream_protocol;
    using Socket = Protocol::socket;
    using Acceptor =
        boost::asio::basic_socket_acceptor<Protocol>; // of any family, as the client's socket

    struct Served {
        explicit Served(boost::asio::io_context& io) : acceptor{io} {}
        Acceptor acceptor;
        std::optional<boost::asio::ssl::context> tls;
        std::deque<std::optional<std::string>> answers;
        std::vector<std::string> requests;
        std::vector<std::shared_ptr<Socket>> held;
        unsigned connections = 0;
        std::uint16_t port = 0;
    };

    LoopbackHttp(boost::asio::io_context& io, const std::optional<std::string>& combined_pem)
        : served_{std::make_shared<Served>(io)} {
        if (combined_pem) {
            auto& tls = served_->tls.emplace(boost::asio::ssl::context::tls_server);
            const auto pem = boost::asio::buffer(*combined_pem);
            tls.use_certificate_chain(pem);
            tls.use_private_key(pem, boost::asio::ssl::context::pem);
        }
        listen(boost::asio::ip::tcp::endpoint{boost::asio::ip::address_v4::loopback(), 0});
    }

    template <class Endpoint> void listen(const Endpoint& endpoint) {
        Acceptor& acceptor = served_->acceptor;
        acceptor.open(Protocol{endpoint.protocol()});
        acceptor.bind(Protocol::endpoint{endpoint});
        acceptor.listen();
        if constexpr (std::is_same_v<Endpoint, boost::asio::ip::tcp::endpoint>) {
            const auto bound = acceptor.local_endpoint();
            boost::asio::ip::tcp::endpoint tcp;
            std::copy_n(static_cast<const char*>(static_cast<const void*>(bound.data())),
                        tcp.capacity() < bound.size() ? tcp.capacity() : bound.size(),
                        static_cast<char*>(static_cast<void*>(tcp.data())));
            served_->port = tcp.port();
        }
        boost::asio::co_spawn(acceptor.get_executor(), accept(served_), &ignore_failure);
    }

    // What a client does to a test's server is asserted on the client's side.
    static void ignore_failure(std::exception_ptr /*thrown*/) {}

    static boost::asio::awaitable<void> accept(std::shared_ptr<Served> served) {
        while (served->acceptor.is_open()) {
            auto socket = std::make_shared<Socket>(served->acceptor.get_executor());
            boost::system::error_code failed;
            co_await served->acceptor.async_accept(
                *socket, boost::asio::redirect_error(boost::asio::use_awaitable, failed));
            if (failed)
                co_return;
            ++served->connections;
            boost::asio::co_spawn(
                served->acceptor.get_executor(), serve(served, socket), &ignore_failure);
        }
    }

    static boost::asio::awaitable<void> serve(std::shared_ptr<Served> served,
                                              std::shared_ptr<Socket> socket) {
        if (!served->tls) {
            co_await converse(served, socket, *socket);
            co_return;
        }
        boost::asio::ssl::stream<Socket&> stream{*socket, *served->tls};
        co_await stream.async_handshake(boost::asio::ssl::stream_base::server,
                                        boost::asio::use_awaitable);
        co_await converse(served, socket, stream);
    }

    template <class Stream>
    static boost::asio::awaitable<void>
    converse(std::shared_ptr<Served> served, std::shared_ptr<Socket> socket, Stream& stream) {
        std::string text;
        std::string piece(4096, '\0');
        while (!is_whole(text)) {
            const std::size_t count = co_await stream.async_read_some(boost::asio::buffer(piece),
                                                                      boost::asio::use_awaitable);
            text.append(piece, 0, count);
        }
        served->requests.push_back(text);
        if (served->answers.empty())
            co_return;
        const auto answer = std::move(served->answers.front());
        served->answers.pop_front();
        if (!answer) {
            served->held.push_back(socket);
            co_return;
        }
        co_await boost::asio::async_write(
            stream, boost::asio::buffer(*answer), boost::asio::use_awaitable);
        boost::system::error_code ignored;
        socket->shutdown(Socket::shutdown_send, ignored);
    }

    static bool is_whole(const std::string& text) {
        const auto end = text.find("\r\n\r\n");
        if (end == std::string::npos)
            return false;
        std::string head = text.substr(0, end);
        std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) {
            return static_cast<char>(std::tolower(c));
        });
        const std::string_view name = "\r\ncontent-length: ";
        const auto length = head.find(name);
        const std::size_t body =
            length == std::string::npos ? 0 : std::stoul(head.substr(length + name.size()));
        return text.size() >= end + 4 + body;
    }

    std::shared_ptr<Served> served_;
};

} // namespace agent::test
