// Port: what people ask of the running daemon, over /run/agent/control: a unix SOCK_SEQPACKET
// socket, one JSON message of at most 4 KiB each way, versioned. Who asks is what the kernel says
// (SO_PEERCRED), never what the message says.
#pragma once

#include "agent/base/error.hpp"

#include <boost/asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace agent {

inline constexpr std::int64_t control_version = 1;
inline constexpr std::size_t control_message_limit = 4096;

struct ControlRequest {
    enum class Verb { retry, hold, release };
    Verb verb = Verb::retry;
    std::string step;                 // of retry; empty: whatever failed
    std::chrono::seconds duration{0}; // of hold
};

struct ControlAnswer {
    enum class Outcome {
        accepted,
        forbidden, // not for whoever asked
        invalid,   // not understood, or it names what is not there
        failed,    // understood and allowed, but it cannot be done now
    };
    Outcome outcome = Outcome::accepted;
    std::string message; // for people, one sentence or a few, without the full stop at the end
};

// {"version":1,"verb":"retry","step":"python"} and {"version":1,"outcome":"accepted","message":…}.
// Parsing refuses another version, unknown verbs, members and outcomes, and wrong types; the
// Error says which.
[[nodiscard]] std::string write_control_request(const ControlRequest& request);
[[nodiscard]] Result<ControlRequest> parse_control_request(std::string_view text);
[[nodiscard]] std::string write_control_answer(const ControlAnswer& answer); // cut to the limit
[[nodiscard]] Result<ControlAnswer> parse_control_answer(std::string_view text);

struct ControlPeer {
    uid_t uid = 0;
    pid_t pid = 0;
};

class ControlServer {
public:
    using Handler =
        std::function<boost::asio::awaitable<ControlAnswer>(ControlPeer, ControlRequest)>;
    virtual ~ControlServer() = default;
    // Answers until the process is asked to stop, then throws Stopped, once no client is left.
    // What is no request is refused here and never reaches the handler.
    virtual boost::asio::awaitable<void> serve(Handler handler) = 0;
};

class ControlClient {
public:
    virtual ~ControlClient() = default;
    // Blocks, at most for a minute. An Error when no daemon answers.
    [[nodiscard]] virtual Result<ControlAnswer> ask(const ControlRequest& request) = 0;
};

} // namespace agent
