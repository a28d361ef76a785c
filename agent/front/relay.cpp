#include "agent/front/relay.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <exception>
#include <optional>
#include <vector>

namespace agent {
namespace {

namespace asio = boost::asio;

constexpr std::size_t buffer_size = 16'384;

struct Pair {
    ByteStream& left;
    ByteStream& right;
    std::optional<std::chrono::milliseconds> idle; // set once one direction has ended

    void close() {
        left.close();
        right.close();
    }
    void progressed() {
        if (!idle)
            return;
        left.expires_after(idle);
        right.expires_after(idle);
    }
};

asio::awaitable<void>
pump(ByteStream& from, ByteStream& to, Pair& pair, std::chrono::milliseconds half_closed) {
    std::vector<char> buffer(buffer_size);
    while (true) {
        const auto got = co_await from.read_some(buffer);
        if (!got)
            break;
        if (*got == 0) {
            if (const auto told = co_await to.finish_writing(); !told)
                break;
            pair.idle = half_closed;
            pair.progressed();
            co_return;
        }
        const std::string_view bytes{buffer.data(), *got};
        if (const auto written = co_await to.write_all(bytes); !written)
            break;
        pair.progressed();
    }
    pair.close();
}

} // namespace

asio::awaitable<void>
relay(ByteStream& left, ByteStream& right, std::chrono::milliseconds half_closed) {
    const auto executor = co_await asio::this_coro::executor;
    Pair pair{left, right, std::nullopt};
    asio::steady_timer returned{executor, asio::steady_timer::time_point::max()};
    bool finished = false;
    std::exception_ptr failure;
    asio::co_spawn(
        executor, pump(right, left, pair, half_closed), [&](const std::exception_ptr& thrown) {
            failure = thrown;
            finished = true;
            if (thrown)
                pair.close();
            returned.cancel();
        });
    std::exception_ptr own;
    try {
        co_await pump(left, right, pair, half_closed);
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
}

} // namespace agent
