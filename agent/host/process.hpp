// Owns child processes: the CommandRunner and ChildLauncher of the real world, over Boost.Process.
#pragma once

#include "agent/ports/child.hpp"
#include "agent/ports/command.hpp"

#include <boost/asio/io_context.hpp>

#include <stop_token>

namespace agent {

class ProcessCommandRunner : public CommandRunner {
public:
    ProcessCommandRunner(boost::asio::io_context& io, std::stop_token stop)
        : io_{io}, stop_{std::move(stop)} {}
    boost::asio::awaitable<Result<CommandOutcome>> run(Command command) override;

private:
    boost::asio::io_context& io_;
    std::stop_token stop_;
};

class ProcessChildLauncher : public ChildLauncher {
public:
    explicit ProcessChildLauncher(boost::asio::io_context& io) : io_{io} {}
    Result<std::unique_ptr<Child>> launch(ChildProgram program) override;

private:
    boost::asio::io_context& io_;
};

// Makes this process the parent of orphaned grandchildren (children that called setsid are found).
void adopt_orphans();
// Reaps adopted orphans that have ended; leaves the children of the adapters above alone.
void reap_orphans();

} // namespace agent
