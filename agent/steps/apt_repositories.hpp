// Owns the state: each repository of the configuration is one of apt's, trusted by its own key
// alone; one of ours that is no longer asked for is gone. A file that is not ours is left alone.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

class AptRepositories : public Guarantee {
public:
    struct Repository {
        std::string name; // of its file in sources.list.d
        std::string url;
        std::string suite; // `{codename}` stands for this release's
        std::vector<std::string> components;
        std::string key;               // ASCII-armoured; or
        std::filesystem::path keyring; // one that is on the machine
    };
    AptRepositories(StepPorts ports, std::vector<Repository> repositories, Network network = {})
        : ports_{std::move(ports)}, repositories_{std::move(repositories)},
          network_{std::move(network)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    [[nodiscard]] Result<std::string> sources_text(const Repository& repository,
                                                   const std::string& keyring) const;
    // Whether its files are in place as they must be; a file that somebody else put in the way is
    // an Error.
    [[nodiscard]] Result<bool> is_in_place(const Repository& repository) const;
    // The names of those that we wrote and nobody asks for any more.
    [[nodiscard]] Result<std::vector<std::string>> abandoned() const;
    // Fetches its lists from files in /run, so that a repository that is not what it should be
    // never becomes one of the machine's.
    boost::asio::awaitable<Result<void>> prove(StepContext& context, Repository repository);
    [[nodiscard]] Result<void> put_in_place(const Repository& repository) const;
    [[nodiscard]] Result<void> remove(const std::string& name) const;

    StepPorts ports_;
    std::vector<Repository> repositories_;
    Network network_;
};

// What is wrong with the repository, when `apt-get update` for it alone said this; apt-get exits 0
// for some of it.
[[nodiscard]] std::optional<Error> repository_problem(const CommandOutcome& outcome,
                                                      std::string_view name);

} // namespace agent
