// Owns the life of the front: it accepts, and gives each connection the page or a relay to Jupyter.
#pragma once

#include "agent/base/secret.hpp"
#include "agent/front/gate.hpp"
#include "agent/ports/front_control.hpp"
#include "agent/ports/http.hpp"
#include "agent/ports/notify.hpp"
#include "agent/ports/stream.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

namespace agent {

struct FrontTimes {
    // In all, however the bytes trickle in.
    std::chrono::milliseconds handshake{std::chrono::seconds{10}}; // first byte and TLS together
    std::chrono::milliseconds request{std::chrono::seconds{10}};   // the head of the first request
    std::chrono::milliseconds answer{std::chrono::seconds{10}};    // for the peer to take an answer
    std::chrono::milliseconds linger{std::chrono::seconds{1}};     // for the peer to end after it
    std::chrono::milliseconds connect{std::chrono::seconds{2}};    // to the backend
    std::chrono::milliseconds probe{std::chrono::seconds{5}};
    std::chrono::milliseconds half_closed{std::chrono::seconds{60}};
    std::chrono::milliseconds drain{std::chrono::seconds{2}}; // for sessions, when asked to stop
    GateTimes gate;
};

struct FrontSettings {
    UnixEndpoint backend; // with its owner: what is probed
    Secret token;
    std::string certificate_sha256; // lower-case hex of what the listeners serve
    std::filesystem::path status_file;
    FrontTimes times;
};

// References to what main owns; they outlive run_front().
struct FrontWorld {
    std::vector<std::unique_ptr<Listener>> listeners;
    Backend& backend; // the same socket as FrontSettings::backend: what is relayed to
    HttpClient& http;
    ServiceNotifier& notifier;
    std::unique_ptr<FrontControlListener> control; // none: certificate and token stay as they are
    // What new connections are to be served with; returns its SHA-256. Of an Error nothing changes.
    std::function<Result<std::string>(const Secret& pem)> replace_certificate;
};

// A connection has asked for something once TLS stands and the head of its first request is whole;
// until then it is a newcomer (limits.hpp), and Jupyter hears nothing of it.
//
// What it tells systemd of itself begins with front_identity_status(): who replaced a file sees by
// it when the new one is served. Probes once, says READY, serves until `stop`; then accepts nothing
// more, lets sessions go on for `drain` at most and returns when all have ended. Does not throw
// Stopped.
[[nodiscard]] boost::asio::awaitable<void>
run_front(FrontWorld world, FrontSettings settings, std::stop_token stop);

} // namespace agent
