// Owns what the workers have in common: what they are told on standard input, and a loop of their
// own that runs one piece of work to its end.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <exception>
#include <istream>
#include <string>
#include <utility>

namespace agent {

// All of it, as far as `limit` bytes go.
[[nodiscard]] inline std::string read_input(std::istream& input, std::size_t limit) {
    std::string text(limit, '\0');
    input.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(input.gcount()));
    return text;
}

// Blocks. `otherwise` is what came of work that never ended; what it throws is thrown on.
template <class T>
[[nodiscard]] T
run_alone(boost::asio::io_context& io, boost::asio::awaitable<T> work, T otherwise) {
    std::exception_ptr bug;
    boost::asio::co_spawn(
        io, std::move(work), [&otherwise, &bug](const std::exception_ptr& thrown, T found) {
            bug = thrown;
            if (!thrown)
                otherwise = std::move(found);
        });
    io.run();
    if (bug)
        std::rethrow_exception(bug);
    return otherwise;
}

} // namespace agent
