#include "agent/front_main.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/front/front.hpp"
#include "agent/host/http_client.hpp"
#include "agent/host/systemd_notify.hpp"
#include "agent/host/tls_server.hpp"
#include "agent/host/unix_backend.hpp"
#include "agent/ports/crypto.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <cstdlib>
#include <exception>
#include <stop_token>
#include <string>
#include <utility>

#include <signal.h>

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
                             "`systemctl restart agent` makes it again.");
    return Secret{std::move(**content)};
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

    asio::signal_set signals{io, SIGTERM, SIGINT};
    signals.async_wait([&stop](const boost::system::error_code& code, int) {
        if (!code)
            stop.request_stop();
    });
    std::exception_ptr failure;
    asio::co_spawn(io,
                   run_front(std::move(world), std::move(settings), stop.get_token()),
                   [&](const std::exception_ptr& thrown) {
                       failure = thrown;
                       signals.cancel();
                   });
    io.run();
    if (failure)
        std::rethrow_exception(failure);
    return {};
}

} // namespace agent
