#include "agent/ports/stream.hpp"

namespace agent {

boost::asio::awaitable<Result<std::size_t>> ByteStream::read_some(std::span<char> buffer) {
    while (true) {
        const auto got = try_read(buffer);
        if (!got)
            co_return got.error();
        if (*got)
            co_return **got;
        if (const auto ready = co_await readable(); !ready)
            co_return ready.error();
    }
}

boost::asio::awaitable<Result<void>> ByteStream::write_all(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto sent = try_write(bytes);
        if (!sent)
            co_return sent.error();
        bytes.remove_prefix(*sent);
        if (*sent > 0)
            continue;
        if (const auto ready = co_await writable(); !ready)
            co_return ready.error();
    }
    co_return Result<void>{};
}

} // namespace agent
