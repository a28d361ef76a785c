#include "agent/base/error.hpp"

#include <cerrno>
#include <system_error>

namespace agent {

std::string_view name_of(ErrorKind kind) {
    switch (kind) {
    case ErrorKind::transient:
        return "transient";
    case ErrorKind::permanent:
        return "permanent";
    case ErrorKind::misconfigured:
        return "misconfigured";
    case ErrorKind::waiting:
        return "waiting";
    }
    return "permanent";
}

Error context(Error error, std::string_view clause) {
    error.message.insert(0, std::string{clause} + ": ");
    return error;
}

Error system_error(std::string_view doing, int errnum) {
    Error error = permanent(std::string{doing} + ": " + std::generic_category().message(errnum));
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        error.next = "free disk space or grow the disk (df -h, df -i)";
        break;
    case EROFS:
        error.next = "the file system is mounted read-only: see dmesg and `findmnt`";
        break;
    case EIO:
        error.next = "the disk has failed: see `dmesg`; `agent retry` tries once more";
        break;
    case EINTR:
    case EAGAIN:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
        error.kind = ErrorKind::transient;
        break;
    default:
        break;
    }
    return error;
}

} // namespace agent
