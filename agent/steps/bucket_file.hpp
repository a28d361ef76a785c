// Owns a file that a step takes from a bucket: read with the VM's own token by workers that are not
// root, and kept as it was last installed from, so that a bucket that cannot be read takes nothing
// away from a machine that has everything.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/step_ports.hpp"

#include <boost/asio/awaitable.hpp>

#include <filesystem>
#include <optional>
#include <string>

namespace agent {

class BucketFile {
public:
    struct Use {
        std::string step;
        std::string name; // "requirements.txt": which of the step's files
    };
    // nullopt: `place` is in no bucket.
    [[nodiscard]] static std::optional<BucketFile>
    at(const StepPorts& ports, const std::string& place, const Use& use, Network network);

    // For a check: the text of now, or where that cannot be had the copy's. A run goes by what it
    // has read once. Writes nothing.
    [[nodiscard]] boost::asio::awaitable<Result<std::string>> look(StepContext& context,
                                                                   Account user);
    // For an installation: the text of now and no other; the copy is of it, and `user` may read it.
    [[nodiscard]] boost::asio::awaitable<Result<std::string>> take(StepContext& context,
                                                                   Account user);

    [[nodiscard]] const std::string& place() const { return place_; }
    [[nodiscard]] const std::filesystem::path& copy() const { return copy_; }
    // Whether the copy is of what was read: if not, an installation is due, so that there is one
    // when the bucket cannot be read.
    [[nodiscard]] bool is_kept() const { return is_kept_; }
    // What to say of a look at the copy; empty: it was one at the bucket.
    [[nodiscard]] std::string note() const;

private:
    BucketFile(const StepPorts& ports,
               std::string place,
               std::filesystem::path copy,
               Network network);
    boost::asio::awaitable<Result<std::string>> read(StepContext& context, Account user) const;
    // What a worker says, on one line.
    boost::asio::awaitable<Result<std::string>>
    ask(StepContext& context, Account user, std::string worker, std::string order) const;
    [[nodiscard]] Result<void> keep(const Account& user) const;

    StepPorts ports_;
    std::string place_; // "gs://…"
    std::filesystem::path copy_;
    Network network_;
    std::optional<std::string> text_; // as this run has read it
    std::optional<Error> unread_;     // why text_ is the copy's
    bool is_kept_ = false;
};

} // namespace agent
