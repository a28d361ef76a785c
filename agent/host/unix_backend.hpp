// Owns the connection to a backend on a unix socket whose listener must belong to one user.
#pragma once

#include "agent/ports/stream.hpp"

#include <boost/asio/any_io_executor.hpp>

#include <filesystem>

#include <sys/types.h>

namespace agent {

// SO_PEERCRED of a connected unix stream socket names the process that called listen(2) (unix(7)).
class UnixBackend final : public Backend {
public:
    UnixBackend(boost::asio::any_io_executor executor, std::filesystem::path path, uid_t owner);

    boost::asio::awaitable<Result<BackendConnection>>
    connect(std::chrono::milliseconds deadline) override;

private:
    boost::asio::any_io_executor executor_;
    std::filesystem::path path_;
    uid_t owner_;
};

} // namespace agent
