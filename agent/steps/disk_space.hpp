// Owns the state: there is room for what is still to be fetched. It is known before the first byte
// comes; a machine that has everything needs no room.
#pragma once

#include "agent/base/file_system.hpp"
#include "agent/graph/step.hpp"
#include "agent/ports/account.hpp"
#include "agent/steps/step_ports.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace agent {

struct Room {
    std::uint64_t bytes = 0;
    std::uint64_t inodes = 0;
};

enum class Payer { root, user };

// What will be written at one place.
struct SpaceDemand {
    std::filesystem::path where;
    Payer payer = Payer::root;
    Room least; // with less it cannot end well
    Room usual; // with less it may not
    std::string what;
};

// The machine's boot disk, as gcloud knows it; empty: not on the cloud.
struct BootDisk {
    std::string name;
    std::string zone;
};

class DiskSpace : public Guarantee {
public:
    struct PythonEnvironment {
        std::filesystem::path prefix;
        std::vector<std::string> requirements;
        std::filesystem::path requirements_file = {}; // beside these; empty: none
        std::vector<std::string> conda_packages = {};
        std::string name = {};   // empty: the one that Jupyter runs in
        std::string python = {}; // which Python; what is fetched for one fits its other users
    };
    struct Wish {
        std::string user;
        std::vector<std::string> debian_packages;
        std::vector<PythonEnvironment> environments; // Jupyter's is the first
        BootDisk boot_disk;
        // The size of the installer that brings conda, known or usual; nullopt: venvs.
        std::optional<std::uint64_t> conda_installer = {};
    };
    using Look = std::function<Result<FileSystem>(const std::filesystem::path&)>;
    DiskSpace(StepPorts ports, Wish wish, Look look = file_system_of)
        : ports_{std::move(ports)}, wish_{std::move(wish)}, look_{std::move(look)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    // What one environment asks pip or uv for.
    struct Requirements {
        std::vector<std::string> with_others; // what they need comes with them
        std::vector<std::string> alone;       // what they need is listed too
    };
    struct MissingThere {
        bool environment = false;
        Requirements requirements;
        std::vector<std::string> conda_packages;
    };
    struct Missing {
        std::size_t debian_packages = 0;
        std::vector<MissingThere> environments; // one for each of the wish's
        std::set<std::string> fetched;          // what an environment has, its cache has
    };
    // What of the demands falls on one file system.
    struct Share {
        FileSystem file_system;
        std::vector<SpaceDemand> demands;
    };
    // What each environment asks for, the lines of its requirements file among it.
    boost::asio::awaitable<Result<std::vector<Requirements>>>
    requirements(StepContext& context, std::optional<Account> user) const;
    [[nodiscard]] Missing everything(const std::vector<Requirements>& asked) const;
    boost::asio::awaitable<Result<Missing>> missing(StepContext& context,
                                                    std::optional<Account> user,
                                                    std::vector<Requirements> asked) const;
    // What comes into one environment. What is `fetched` for it is added to that, and where the
    // cache shares nothing with it, to the cache.
    [[nodiscard]] SpaceDemand into(const PythonEnvironment& wish,
                                   const MissingThere& there,
                                   std::set<std::string>& fetched,
                                   SpaceDemand& cache) const;
    [[nodiscard]] std::vector<SpaceDemand> demands(const Missing& missing,
                                                   const std::optional<Account>& user) const;
    [[nodiscard]] Result<std::vector<Share>> shares(const std::vector<SpaceDemand>& demands) const;
    [[nodiscard]] bool has_ample_room(const std::vector<SpaceDemand>& demands) const;
    // What is free, in words, or what is missing.
    [[nodiscard]] Result<std::string> compare(const std::vector<SpaceDemand>& demands) const;

    StepPorts ports_;
    Wish wish_;
    Look look_;
};

// Judges what is asked of one file system, which is all of `demands`: what is free, in words, or an
// Error that says what is missing. `boot_disk` is null when it is another disk's.
[[nodiscard]] Result<std::string> judge_space(const std::vector<SpaceDemand>& demands,
                                              const FileSystem& file_system,
                                              const BootDisk* boot_disk);

} // namespace agent
