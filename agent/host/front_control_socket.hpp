// Owns both ends of the unix socket by which a running front is given another certificate.
#pragma once

#include "agent/ports/front_control.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <chrono>
#include <filesystem>

#include <sys/types.h>

namespace agent {

class SocketFrontControl final : public FrontControl {
public:
    SocketFrontControl(boost::asio::any_io_executor executor, std::filesystem::path path)
        : executor_{std::move(executor)}, path_{std::move(path)} {}

    boost::asio::awaitable<Result<std::string>> hand_over(FrontIdentity identity) override;

private:
    boost::asio::any_io_executor executor_;
    std::filesystem::path path_;
};

// Takes over a listening SOCK_SEQPACKET socket. Whoever is not `sender` (SO_PEERCRED) is dropped.
[[nodiscard]] std::unique_ptr<FrontControlListener> listen_for_front_control(
    const boost::asio::any_io_executor& executor, int listening_socket, uid_t sender);

} // namespace agent
