// Owns the state: Jupyter's configuration file, in the terms of the Jupyter that is installed.
#pragma once

#include "agent/base/secret.hpp"
#include "agent/graph/step.hpp"
#include "agent/steps/jupyter_build.hpp"
#include "agent/steps/step_ports.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace agent {

class JupyterConfig : public Guarantee {
public:
    struct Wish {
        std::string user;
        std::filesystem::path
            directory;                // absolute, relative to the user's home, or empty: the home
        Secret password_hash;         // empty: the token alone opens
        std::filesystem::path prefix; // of the environment
        std::string interface;        // its package there: "jupyterlab", "notebook"
    };
    JupyterConfig(StepPorts ports, Wish wish) : ports_{std::move(ports)}, wish_{std::move(wish)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    [[nodiscard]] std::filesystem::path directory_for(const Account& user) const;
    // An Error also when it cannot check the password.
    boost::asio::awaitable<Result<JupyterBuild>> build(StepContext& context, Account user) const;

    StepPorts ports_;
    Wish wish_;
};

// The file's content. Jupyter listens on a unix socket alone; TLS ends in the front. Where it
// cannot bind one, the section "Agent", which Jupyter passes over, says where `agent jupyter` binds
// it.
[[nodiscard]] std::string jupyter_config_text(const JupyterBuild& build,
                                              const std::filesystem::path& directory,
                                              const Secret& password_hash,
                                              const Secret& token);

// The token as Jupyter's configuration carries it: for whoever may read that, root and the
// machine's user; nullopt for anybody else.
[[nodiscard]] std::optional<Secret> configured_token(const Root& root);

} // namespace agent
