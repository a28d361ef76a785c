#include "agent/front_main.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/front/front.hpp"
#include "agent/host/front_control_socket.hpp"
#include "agent/host/http_client.hpp"
#include "agent/host/systemd_notify.hpp"
#include "agent/host/tls_server.hpp"
#include "agent/host/unix_backend.hpp"
#include "agent/main_loop.hpp"
#include "agent/ports/crypto.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <cstdlib>
#include <functional>
#include <stop_token>
#include <string>
#include <utility>

namespace agent {
namespace {

namespace asio = boost::asio;

constexpr uid_t root = 0;

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

std::function<Result<std::string>(const Secret&)> replace_in(TlsServer& server) {
    return [&server](const Secret& pem) -> Result<std::string> {
        const auto facts = read_certificate(pem.reveal());
        if (!facts)
            return facts.error();
        if (auto replaced = server.replace(pem); !replaced)
            return replaced.error();
        return facts->sha256;
    };
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
    auto server = TlsServer::from_pem(*pem);
    if (!server)
        return server.error();
    if (options.listeners.empty()) {
        auto held = sockets_from_systemd();
        if (!held)
            return held.error();
        options.listeners = std::move(held->listeners);
        options.control = held->control;
    }

    asio::io_context io{1};
    std::stop_source stop;
    BeastHttpClient http{io, stop.get_token()};
    UnixBackend backend{io.get_executor(), options.backend, options.backend_owner};
    FrontWorld world{{}, backend, http, notifier, nullptr, replace_in(*server)};
    if (options.control >= 0)
        world.control = listen_for_front_control(io.get_executor(), options.control, root);
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
