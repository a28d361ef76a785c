// Port: how a running front is given another certificate and token, seen from both ends. One packet
// of JSON there and one back, on a unix socket that systemd holds and only root may use.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace agent {

inline constexpr std::size_t front_control_limit = 65'536; // of one packet

struct FrontIdentity {
    Secret certificate; // a PEM: private key and certificate chain, leaf first
    Secret token;       // what proves us to Jupyter
};

// The daemon's end.
class FrontControl {
public:
    virtual ~FrontControl() = default;
    // The lower-case hex SHA-256 of the certificate that the front serves from now on. Transient:
    // there was nobody to talk to; any other Error is the front's own word, and nothing changed.
    virtual boost::asio::awaitable<Result<std::string>> hand_over(FrontIdentity identity) = 0;
};

// The front's end.
class FrontControlRequest {
public:
    virtual ~FrontControlRequest() = default;
    [[nodiscard]] virtual const Secret& message() const = 0;
    // Best effort: who has gone misses it.
    virtual void answer(std::string_view text) = 0;
};
class FrontControlListener {
public:
    virtual ~FrontControlListener() = default;
    // The next whole packet of somebody who may send one; who may not, or sends none in time, is
    // dropped. A transient Error when it was closed, or cannot accept just now.
    virtual boost::asio::awaitable<Result<std::unique_ptr<FrontControlRequest>>> next() = 0;
    virtual void close() = 0;
};

// How the front's word to systemd begins, by which is seen from outside whether it serves this
// certificate and proves itself to Jupyter with this token; of the token, digits of its digest.
[[nodiscard]] std::string front_identity_status(std::string_view certificate_sha256,
                                                const Secret& token);

[[nodiscard]] Secret write_front_identity(const FrontIdentity& identity);
[[nodiscard]] Result<FrontIdentity> read_front_identity(const Secret& message);
[[nodiscard]] std::string write_front_answer(const Result<std::string>& certificate_sha256);
[[nodiscard]] Result<std::string> read_front_answer(std::string_view message);

} // namespace agent
