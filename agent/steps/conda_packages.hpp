// Owns the state: conda's packages that the configuration asks for, and what its environment.yml
// lists, are in the environment. One resolution for all; what the user installed himself is neither
// removed nor downgraded, nor changed unless he asks (Pins).
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/bucket_file.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/pins.hpp"
#include "agent/steps/step_ports.hpp"
#include "agent/steps/work_mark.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace agent {

class Scratch;

enum class Terms { not_accepted, accepted }; // Anaconda's

class CondaPackages : public Guarantee {
public:
    struct Wish {
        std::string step = "conda_packages"; // its own id, for what a person is told to type
        std::string user;
        std::filesystem::path prefix; // where conda is
        // Where the packages go: the prefix itself, or one below its envs/, made when it is absent.
        std::filesystem::path environment;
        std::vector<std::string> packages;
        std::vector<std::string> channels; // in order, and no others; empty: as conda is set up
        std::string environment_file;      // on the machine or in a bucket; empty: none
        Terms terms = Terms::not_accepted;
        Network network = {};
    };
    CondaPackages(StepPorts ports, Wish wish);
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    enum class For { a_look, an_installation };
    // The file's SHA-256, read as the user; empty: no file is asked for.
    boost::asio::awaitable<Result<std::string>>
    file_digest(StepContext& context, Account user, For purpose);
    // Of the environment.yml that is in the environment.
    [[nodiscard]] std::filesystem::path digest_file() const;
    // What is there already may be kept, or is half of an installation that was cut short.
    enum class Present { kept, torn };
    boost::asio::awaitable<Result<void>> run(StepContext& context,
                                             Account user,
                                             std::vector<std::string> argv,
                                             Present present,
                                             const Scratch& scratch) const;
    // Conda itself, or a mamba beside it, with what makes its resolver a quick one.
    [[nodiscard]] std::vector<std::string> program(StepContext& context,
                                                   const Environment& base,
                                                   std::vector<std::string> arguments) const;
    [[nodiscard]] std::map<std::string, std::string> variables(const Scratch& scratch) const;

    StepPorts ports_;
    Wish wish_;
    Pins pins_;
    WorkMark work_;
    std::optional<BucketFile> object_; // where the environment.yml is in a bucket
};

// Conda's failure as an Error: an unknown package or a conflict is permanent and in the resolver's
// own words, terms that nobody accepted are the configuration's, the network is transient.
[[nodiscard]] Error conda_error(const CommandOutcome& outcome);

} // namespace agent
