// Owns the mark that says a program is at work at what a step makes. Installers and useradd write
// many files and sync few of them: after a kill or a power cut a name may stand there with half of
// what belongs to it, or with empty files. While the mark is there, what is found is not believed.
#pragma once

#include "agent/base/files.hpp"
#include "agent/graph/step.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <string_view>

namespace agent {

class WorkMark {
public:
    // `mark` is a file of root's own; its directory is made when it is set.
    explicit WorkMark(std::filesystem::path mark) : mark_{std::move(mark)} {}

    // For one step's work in a Python prefix: /opt/.jupyter.agent-STEP.
    [[nodiscard]] static WorkMark
    beside(const Root& root, const std::filesystem::path& prefix, std::string_view step);

    // Whether work began that was not ended in order.
    [[nodiscard]] Result<bool> is_set() const;

    // Before the program starts; durable.
    [[nodiscard]] Result<void> set() const;

    // After it has ended: makes durable what is on `place`'s file system, as `user`, then takes the
    // mark away.
    [[nodiscard]] boost::asio::awaitable<Result<void>>
    lift(StepContext& context, Account user, std::filesystem::path place) const;

    // Where nothing was made after all.
    [[nodiscard]] Result<void> drop() const;

private:
    std::filesystem::path mark_;
};

} // namespace agent
