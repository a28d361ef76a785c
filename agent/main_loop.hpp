// Owns how a process of ours lives: one coroutine on one io_context, until it ends; SIGTERM and
// SIGINT ask it to stop, SIGHUP to read its configuration again.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include <functional>
#include <stop_token>

namespace agent {

// The coroutine's value. What it throws is thrown on. Without `on_hangup` SIGHUP is left as it is.
int run_main_loop(boost::asio::io_context& io,
                  std::stop_source& stop,
                  boost::asio::awaitable<int> life,
                  std::function<void()> on_hangup = {});

} // namespace agent
