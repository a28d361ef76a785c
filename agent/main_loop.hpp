// Owns how a process of ours lives: one coroutine on one io_context, until it ends; SIGTERM and
// SIGINT ask it to stop.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <stop_token>

namespace agent {

// The coroutine's value. What it throws is thrown on.
int run_main_loop(boost::asio::io_context& io,
                  std::stop_source& stop,
                  boost::asio::awaitable<int> life);

} // namespace agent
