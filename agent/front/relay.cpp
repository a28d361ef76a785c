#include "agent/front/relay.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <optional>

namespace agent {
namespace {

namespace asio = boost::asio;

// After so much without a pause, others get their turn.
constexpr std::size_t turn = 262'144;

struct Pair {
    ByteStream& left;
    ByteStream& right;
    RelayMemory& memory;
    std::chrono::milliseconds half_closed;
    bool closed = false;
    bool unanswered = false;                       // right has ended by itself without a byte
    std::optional<std::chrono::milliseconds> idle; // set once one direction has ended

    void close() {
        closed = true;
        right.close();
        if (!unanswered)
            left.close();
    }
    void progressed() {
        if (!idle)
            return;
        left.expires_after(idle);
        right.expires_after(idle);
    }
};

enum class Direction { ended, not_begun, unread, unwritten };

asio::awaitable<Direction> carry(ByteStream& from, ByteStream& to, Pair& pair) {
    const auto executor = co_await asio::this_coro::executor;
    bool begun = false;
    std::size_t in_a_row = 0;
    while (!pair.unanswered) {
        const auto buffer = pair.memory.scratch();
        const auto got = from.try_read(buffer);
        if (!got)
            break;
        if (!*got) {
            in_a_row = 0;
            if (const auto ready = co_await from.readable(); !ready)
                break;
            continue;
        }
        if (**got == 0) {
            if (!begun && &from == &pair.right)
                co_return Direction::not_begun;
            const auto told = co_await to.finish_writing();
            if (!told)
                co_return Direction::unwritten;
            co_return Direction::ended;
        }
        begun = true;
        const std::string_view bytes{buffer.data(), **got};
        in_a_row += bytes.size();
        const auto sent = to.try_write(bytes);
        if (!sent)
            co_return Direction::unwritten;
        if (*sent < bytes.size()) {
            const RelayMemory::Rest rest{pair.memory, bytes.substr(*sent)};
            if (const auto written = co_await to.write_all(rest.bytes()); !written)
                co_return Direction::unwritten;
        }
        pair.progressed();
        if (in_a_row >= turn) {
            in_a_row = 0;
            co_await asio::post(executor, asio::use_awaitable);
        }
    }
    co_return begun ? Direction::unread : Direction::not_begun;
}

asio::awaitable<void> from_left(Pair& pair) {
    const auto end = co_await carry(pair.left, pair.right, pair);
    // A right that takes no more may have said why, or still be about to.
    if (end == Direction::ended || end == Direction::unwritten) {
        pair.idle = pair.half_closed;
        pair.progressed();
    } else {
        pair.close();
    }
}

asio::awaitable<void> from_right(Pair& pair) {
    const auto end = co_await carry(pair.right, pair.left, pair);
    switch (end) {
    case Direction::ended:
        pair.idle = pair.half_closed;
        pair.progressed();
        break;
    case Direction::unread:
    case Direction::unwritten:
        pair.close();
        break;
    case Direction::not_begun:
        pair.unanswered = !pair.closed;
        pair.close();
        pair.left.interrupt();
        break;
    }
}

} // namespace

asio::awaitable<RelayEnd> relay(ByteStream& left,
                                ByteStream& right,
                                RelayMemory& memory,
                                std::chrono::milliseconds half_closed) {
    const auto executor = co_await asio::this_coro::executor;
    Pair pair{left, right, memory, half_closed, false, false, std::nullopt};
    asio::steady_timer returned{executor, asio::steady_timer::time_point::max()};
    bool finished = false;
    std::exception_ptr failure;
    asio::co_spawn(executor, from_right(pair), [&](const std::exception_ptr& thrown) {
        failure = thrown;
        finished = true;
        if (thrown)
            pair.close();
        returned.cancel();
    });
    std::exception_ptr own;
    try {
        co_await from_left(pair);
    } catch (...) {
        own = std::current_exception();
        pair.close();
    }
    // The other direction uses this frame: it is waited for whatever happened to ours.
    while (!finished)
        co_await returned.async_wait(asio::as_tuple(asio::use_awaitable));
    pair.close();
    if (own || failure)
        std::rethrow_exception(own ? own : failure);
    co_return pair.unanswered ? RelayEnd::unanswered : RelayEnd::over;
}

} // namespace agent
