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
    bool set = false; // here, instead of printing the hash
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
struct EnvironmentWorker {
    std::filesystem::path prefix;
};
// Nothing to run: help, the version, or wrong usage (exit 64).
struct Answer {
    int exit_code = 0;
    std::string text;
};

using Invocation = std::variant<Run,
                                Status,
                                Plan,
                                Log,
                                Url,
                                Cert,
                                Check,
                                Config,
                                Password,
                                Retry,
                                Hold,
                                Release,
                                Jupyter,
                                Front,
                                ProbeWorker,
                                EnvironmentWorker,
                                Answer>;

[[nodiscard]] Invocation parse(int argc, const char* const* argv);

// "90s", "10m", "2h", "1500ms"; nullopt: not a duration.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_duration(const std::string& text);

} // namespace agent::command_line
