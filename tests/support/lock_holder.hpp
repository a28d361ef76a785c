// Owns another process that holds a lock from its construction on until end().
#pragma once

#include "agent/base/lock.hpp"

#include <array>
#include <csignal>
#include <filesystem>
#include <stdexcept>
#include <variant>

#include <sys/wait.h>
#include <unistd.h>

namespace agent::test {

class LockHolder {
public:
    explicit LockHolder(const std::filesystem::path& path) {
        std::array<int, 2> ends{};
        if (::pipe(ends.data()) != 0)
            throw std::runtime_error{"pipe failed"};
        pid_ = ::fork();
        if (pid_ < 0)
            throw std::runtime_error{"fork failed"};
        if (pid_ == 0) {
            const auto taken = ProcessLock::take(path);
            const bool held = taken && std::holds_alternative<ProcessLock>(*taken);
            const char answer = held ? 'y' : 'n';
            if (::write(ends[1], &answer, 1) == 1)
                ::pause();
            ::_exit(1);
        }
        ::close(ends[1]);
        char answer = 'n';
        const bool answered = ::read(ends[0], &answer, 1) == 1;
        ::close(ends[0]);
        if (!answered || answer != 'y') {
            end();
            throw std::runtime_error{"the other process did not get the lock"};
        }
    }
    LockHolder(const LockHolder&) = delete;
    LockHolder& operator=(const LockHolder&) = delete;
    ~LockHolder() { end(); }

    [[nodiscard]] pid_t pid() const { return pid_; }
    void end() {
        if (pid_ > 0) {
            ::kill(pid_, SIGKILL);
            ::waitpid(pid_, nullptr, 0);
        }
        pid_ = 0;
    }

private:
    pid_t pid_ = 0;
};

} // namespace agent::test
