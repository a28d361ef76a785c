// Owns the state: the Python packages that the configuration asks for are in an environment. One
// resolution for all, through uv; through pip, with a plain word why, where uv cannot be had. What
// the user installed himself is never removed, nor changed unless he asks (Pins). An installation
// that was cut short is made again from the index, as neither its packages nor its cache can be
// believed.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/bucket_file.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/pins.hpp"
#include "agent/steps/requirements_file.hpp"
#include "agent/steps/step_ports.hpp"
#include "agent/steps/work_mark.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

class PythonPackages : public Guarantee {
public:
    struct Index { // asked for these packages, and for no others
        std::string name;
        std::string url;
        std::vector<std::string> packages; // normalised names
    };
    struct Wish {
        std::string user;
        std::filesystem::path prefix;
        std::vector<std::string> requirements;
        std::string index_url; // empty: as pip is configured on the machine
        Network network = {};
        std::string environment = {};       // empty: the one that Jupyter runs in
        std::string requirements_file = {}; // on the machine or in a bucket; empty: none
        std::string constraints_file = {};
        std::vector<Index> indexes = {};
    };
    PythonPackages(StepPorts ports, Wish wish);
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    // What is there already may be kept, or is half of an installation that was cut short.
    enum class Present { kept, torn };
    // What is installed from, and how.
    struct Sources {
        std::string list;        // a file of what the configuration names; empty: nothing
        std::string file;        // the user's file, or what of it is to be changed; empty: none
        bool all_hashed = false; // nothing may come without a hash
        std::string indexes;     // for uv: a file that ties packages to their indexes; empty: none
        std::string wheels;      // for pip: where what single indexes gave lies; empty: nowhere
    };
    [[nodiscard]] std::string step_id() const;
    [[nodiscard]] std::filesystem::path runtime_file(std::string_view name) const;
    [[nodiscard]] std::vector<std::string> all_requirements() const;
    [[nodiscard]] std::string list_of(std::string_view package) const;
    enum class For { a_look, an_installation };
    boost::asio::awaitable<Result<void>>
    read_files(StepContext& context, Account user, For purpose);
    boost::asio::awaitable<Result<RequirementsFile>>
    read_object(StepContext& context, Account user, BucketFile& object, For purpose);
    boost::asio::awaitable<Result<std::filesystem::path>> uv(StepContext& context, Account user);
    boost::asio::awaitable<Result<std::map<std::string, std::string>>>
    uv_variables(StepContext& context, Account user, std::filesystem::path uv, Present present);
    [[nodiscard]] Result<Sources> write_sources(std::map<std::string, std::string> wheels = {});
    [[nodiscard]] Result<void> tie_indexes(Sources& sources) const;
    [[nodiscard]] Command
    uv_command(const std::filesystem::path& uv, const Sources& sources, Present present) const;
    [[nodiscard]] std::vector<Command> pip_commands(const Sources& sources, Present present) const;
    [[nodiscard]] Command pip(std::string_view verb) const;
    // For pip, which asks every index for every package: what is tied to an index is fetched from
    // there beforehand. Name → wheel.
    boost::asio::awaitable<Result<std::map<std::string, std::string>>>
    fetch_tied(StepContext& context, Account user, std::string directory);
    // One program, again without what distutils put in its way.
    boost::asio::awaitable<Result<CommandOutcome>>
    install(StepContext& context, Account user, Command command);
    [[nodiscard]] Error explained(const CommandOutcome& outcome) const;

    StepPorts ports_;
    Wish wish_;
    Pins pins_;
    WorkMark work_;
    std::optional<BucketFile> requirements_object_; // where the file is in a bucket
    std::optional<BucketFile> constraints_object_;
    RequirementsFile file_;          // as last looked at
    RequirementsFile constraints_;   // the same
    std::string python_;             // the environment's version, as last looked at
    std::vector<std::string> notes_; // what this run did otherwise than usual
};

// An installer's failure as an Error: an unknown package or a conflict is permanent and in the
// resolver's own words, the network is transient.
[[nodiscard]] Error installer_error(const CommandOutcome& outcome);

// The package that the installer's words say does not exist; empty: they do not.
[[nodiscard]] std::string unknown_package_in(std::string_view words);

} // namespace agent
