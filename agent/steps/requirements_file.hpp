// Owns what steps know of a requirements, lock or constraints file: what our worker, running as the
// environment's user, reads in it.
#pragma once

#include "agent/graph/step.hpp"

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace agent {

struct RequirementsFile {
    struct Entry {
        std::filesystem::path file; // where it stands: the file itself, or one that it includes
        std::int64_t line = 0;
        std::string requirement; // with its marker, without its hashes
        std::string text;        // all of it, on one line
    };
    std::string place;          // as the configuration has it; empty: none was asked for
    std::filesystem::path path; // where installers read it
    std::string sha256;         // of it and of what it includes
    bool is_hashed = false;     // an entry at least has hashes
    std::vector<Entry> entries;
    std::vector<std::filesystem::path> constraints; // files that requirements include by -c
};

// `agent worker requirements PATH`, as `user`; an empty path gives an empty file. A file that is
// not there, cannot be read or holds what is not taken is misconfigured, with its line.
[[nodiscard]] boost::asio::awaitable<Result<RequirementsFile>>
look_at_requirements(StepContext& context, Account user, std::filesystem::path path);
[[nodiscard]] boost::asio::awaitable<Result<RequirementsFile>>
look_at_constraints(StepContext& context, Account user, std::filesystem::path path);
// The same of a text that came from elsewhere, which includes nothing; `path` is left empty.
[[nodiscard]] boost::asio::awaitable<Result<RequirementsFile>>
look_at_requirements(StepContext& context, Account user, std::string place, std::string text);

} // namespace agent
