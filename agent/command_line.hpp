// Owns argv: which command, with which options. Knows nothing of what the commands do.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <sys/types.h>

namespace agent::command_line {

struct Run {};
struct Status {
    bool json = false;
    bool wait = false;
    bool watch = false;
    std::optional<std::chrono::milliseconds> timeout; // of wait
};
struct Plan {
    bool json = false;
};
struct Log {
    std::string step; // empty: all
    bool follow = false;
};
struct Timeline {
    std::string boot; // empty: this one
    std::string svg;  // empty: no file
};
struct Check {
    std::vector<std::filesystem::path> files;
    bool json = false;
};
struct Config {
    bool json = false;
};
struct Url {};
struct Cert {};
struct Password {
    bool set = false;              // here, instead of printing the hash
    bool for_old_notebook = false; // before 6.1
};
struct Shell {
    std::vector<std::string> command; // empty: the user's shell
};
struct Retry {
    std::string step; // empty: whatever failed
};
struct Hold {
    std::chrono::seconds duration{0};
};
struct Release {};
struct Jupyter {
    std::filesystem::path program;
    std::filesystem::path config;
    bool keep_groups = false;
};
struct Front {
    std::filesystem::path backend;
    uid_t backend_owner = 0;
};
struct ProbeWorker {};
struct FetchWorker {};
struct AdoptWorker {};
struct EnvironmentWorker {
    std::filesystem::path prefix;
};
struct ShellWorker {
    std::filesystem::path prefix;
    bool complete = false;
};
struct RequirementsWorker {
    std::filesystem::path file; // "-": standard input
    bool is_constraints = false;
};
struct AccountWorker {};
struct BucketWorker {};
// Nothing to run: help, the version, or wrong usage (exit 64).
struct Answer {
    int exit_code = 0;
    std::string text;
};

using Invocation = std::variant<Run,
                                Status,
                                Plan,
                                Log,
                                Timeline,
                                Url,
                                Cert,
                                Check,
                                Config,
                                Password,
                                Shell,
                                Retry,
                                Hold,
                                Release,
                                Jupyter,
                                Front,
                                ProbeWorker,
                                FetchWorker,
                                AdoptWorker,
                                EnvironmentWorker,
                                ShellWorker,
                                RequirementsWorker,
                                AccountWorker,
                                BucketWorker,
                                Answer>;

[[nodiscard]] Invocation parse(int argc, const char* const* argv);

} // namespace agent::command_line
