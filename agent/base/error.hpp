// Owns the vocabulary of failure: Error, its kind, Result, and the clause each layer adds.
// Failure is returned, cancellation unwinds (Stopped, base/stop.hpp), a bug stops the step.
#pragma once

#include <boost/system/result.hpp>

#include <string>
#include <string_view>
#include <utility>

namespace agent {

// What the caller does next. What happened is text.
enum class ErrorKind {
    transient,     // try again later
    permanent,     // trying again will not help
    misconfigured, // the operator must change the configuration
    waiting,       // it goes on once a person has done what `next` says
};

[[nodiscard]] std::string_view name_of(ErrorKind kind);

struct Error {
    ErrorKind kind = ErrorKind::permanent;
    std::string message; // one sentence, from intent to cause; never a secret
    std::string next;    // what the reader does now; may be empty
};

template <class T> using Result = boost::system::result<T, Error>;

[[nodiscard]] inline Error transient(std::string message, std::string next = {}) {
    return {ErrorKind::transient, std::move(message), std::move(next)};
}
[[nodiscard]] inline Error permanent(std::string message, std::string next = {}) {
    return {ErrorKind::permanent, std::move(message), std::move(next)};
}
[[nodiscard]] inline Error misconfigured(std::string message, std::string next = {}) {
    return {ErrorKind::misconfigured, std::move(message), std::move(next)};
}

[[nodiscard]] inline Error waiting_for_person(std::string message, std::string next) {
    return {ErrorKind::waiting, std::move(message), std::move(next)};
}

// Puts "clause: " in front of the message: context(e, "reading the ledger").
[[nodiscard]] Error context(Error error, std::string_view clause);

// The Error for a failed system call; ENOSPC, EROFS and the like get their own next action.
[[nodiscard]] Error system_error(std::string_view doing, int errnum);

} // namespace agent
