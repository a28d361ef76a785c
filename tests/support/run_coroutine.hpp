// Owns the way a test runs a coroutine: to its end on its own io_context, with a deadline, so that a
// test can fail but never hang.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace agent::test {

template <class T>
T run_coroutine(boost::asio::io_context& io,
                boost::asio::awaitable<T> work,
                std::chrono::seconds deadline = std::chrono::seconds{20}) {
    std::exception_ptr failure;
    bool finished = false;
    if constexpr (std::is_void_v<T>) {
        boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr thrown) {
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
    } else {
        std::optional<T> result;
        boost::asio::co_spawn(io, std::move(work), [&](std::exception_ptr thrown, T value) {
            failure = thrown;
            if (!thrown)
                result.emplace(std::move(value));
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
        return std::move(*result);
    }
}

} // namespace agent::test
