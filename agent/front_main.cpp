#include "agent/front_main.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/front/front.hpp"
#include "agent/host/http_client.hpp"
#include "agent/host/systemd_notify.hpp"
#include "agent/host/tls_server.hpp"
#include "agent/host/unix_backend.hpp"
#include "agent/main_loop.hpp"
#include "agent/ports/crypto.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdlib>
#include <stop_token>
#include <string>
#include <utility>

namespace agent {
namespace {

namespace asio = boost::asio;

Result<Secret> read_secret(const std::filesystem::path& given, const std::string& credential) {
    std::filesystem::path path = given;
    if (path.empty()) {
        const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
        if (!directory)
            return misconfigured("The front was started without its " + credential + ".",
                                 "Start it through agent-front.socket.");
        path = std::filesystem::path{directory} / credential;
    }
    auto content = read_file(path, 256'000);
    if (!content)
        return context(content.error(), "reading the front's " + credential);
    if (!*content || trim(**content).empty())
        return misconfigured("The front's " + credential +
                                 " is missing or empty: " + path.string() + ".",
                             "`agent retry` makes it again.");
    return Secret{std::move(**content)};
}

asio::awaitable<int> serve(FrontWorld world, FrontSettings settings, std::stop_token stop) {
    co_await run_front(std::move(world), std::move(settings), std::move(stop));
    co_return 0;
}

} // namespace

Result<void> front_main(FrontOptions options) {
    SystemdNotifier notifier;
    if (options.backend_owner == static_cast<uid_t>(-1))
        return misconfigured("The front was not told whose process Jupyter must be.",
                             "Give --backend-owner the uid of the machine's user.");
    const auto pem = read_secret(options.certificate, "tls.pem");
    if (!pem)
        return pem.error();
    const auto token = read_secret(options.token, "token");
    if (!token)
        return token.error();
    const auto server = TlsServer::from_pem(*pem);
    if (!server)
        return server.error();
    if (options.listeners.empty()) {
        auto held = sockets_from_systemd();
        if (!held)
            return held.error();
        options.listeners = std::move(*held);
    }

    asio::io_context io{1};
    std::stop_source stop;
    BeastHttpClient http{io, stop.get_token()};
    UnixBackend backend{io.get_executor(), options.backend, options.backend_owner};
    FrontWorld world{{}, backend, http, notifier};
    for (const int socket : options.listeners) {
        auto listener = listen_on(io.get_executor(), socket, *server);
        if (!listener)
            return listener.error();
        world.listeners.push_back(std::move(*listener));
    }
    FrontSettings settings;
    settings.backend = {options.backend, options.backend_owner};
    settings.token = Secret{std::string{trim(token->reveal())}};
    if (auto certificate = read_certificate(pem->reveal()); certificate)
        settings.certificate_sha256 = certificate->sha256;
    settings.status_file = options.status_file;

    run_main_loop(io, stop, serve(std::move(world), std::move(settings), stop.get_token()));
    return {};
}

} // namespace agent
