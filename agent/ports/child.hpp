// Port: one long-lived child that we supervise; its output goes where ours goes (the journal).
#pragma once

#include "agent/base/error.hpp"
#include "agent/ports/command.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

namespace agent {

struct ChildProgram {
    std::vector<std::string> argv;                  // argv[0] is an absolute path
    std::map<std::string, std::string> environment; // all of it
    std::filesystem::path directory = "/";
};

class Child {
public:
    virtual ~Child() = default; // does not end the process
    [[nodiscard]] virtual pid_t pid() const = 0;
    // To the whole process group; nothing happens once the child was reaped.
    virtual void signal(int number) = 0;
    // Waits at most `longest`; nullopt: still running. Once it gave a status it gives the same
    // again. Does not throw Stopped: whoever supervises decides how its child ends.
    virtual boost::asio::awaitable<std::optional<std::variant<Exited, Signaled>>>
    wait(std::chrono::milliseconds longest) = 0;
};

class ChildLauncher {
public:
    virtual ~ChildLauncher() = default;
    // In its own process group, standard input /dev/null, PR_SET_PDEATHSIG SIGKILL.
    virtual Result<std::unique_ptr<Child>> launch(ChildProgram program) = 0;
};

} // namespace agent
