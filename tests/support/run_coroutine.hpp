// Owns the way a test runs a coroutine: to its end on its own io_context, with a deadline, so that
// a test can fail but never hang.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <utility>

namespace agent::test {

inline void run_coroutine(boost::asio::io_context& io,
                          boost::asio::awaitable<void> work,
                          std::chrono::seconds deadline = std::chrono::seconds{20}) {
    std::exception_ptr failure;
    bool finished = false;
    boost::asio::co_spawn(io, std::move(work), [&](const std::exception_ptr& thrown) {
        failure = thrown;
        finished = true;
    });
    io.restart();
    const auto end = std::chrono::steady_clock::now() + deadline;
    while (!finished && io.run_one_until(end) > 0) {
    }
    if (!finished)
        throw std::runtime_error{"the coroutine did not finish in time"};
    if (failure)
        std::rethrow_exception(failure);
}

template <class T>
boost::asio::awaitable<void> store(boost::asio::awaitable<T> work, std::optional<T>& result) {
    result.emplace(co_await std::move(work));
}

template <class T>
T run_coroutine(boost::asio::io_context& io,
                boost::asio::awaitable<T> work,
                std::chrono::seconds deadline = std::chrono::seconds{20}) {
    std::optional<T> result;
    run_coroutine(io, store(std::move(work), result), deadline);
    return std::move(*result);
}

} // namespace agent::test
