// Owns /run/agent/control: the listening SOCK_SEQPACKET socket with its limits, and the asking
// side.
#pragma once

#include "agent/ports/control.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <stop_token>

namespace agent {

class ControlSocket final : public ControlServer {
public:
    struct Limits {
        std::chrono::milliseconds patience{5000}; // from the connection to the whole request
        unsigned clients = 8;                     // at once; root comes in besides
        unsigned clients_of_user = 2;
    };
    // Takes the place of a socket that lies at `path`; anybody may connect (mode 0666). It is gone
    // again with this object.
    [[nodiscard]] static Result<std::unique_ptr<ControlSocket>> listen(boost::asio::io_context& io,
                                                                       std::filesystem::path path,
                                                                       std::stop_token stop,
                                                                       Limits limits);
    ~ControlSocket() override;
    ControlSocket(const ControlSocket&) = delete;
    ControlSocket& operator=(const ControlSocket&) = delete;

    boost::asio::awaitable<void> serve(Handler handler) override;

private:
    struct State;
    explicit ControlSocket(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

class UnixControlClient final : public ControlClient {
public:
    explicit UnixControlClient(std::filesystem::path path) : path_{std::move(path)} {}
    [[nodiscard]] Result<ControlAnswer> ask(const ControlRequest& request) override;

private:
    std::filesystem::path path_;
};

} // namespace agent
