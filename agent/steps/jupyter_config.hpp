// Owns the state: Jupyter's configuration file, and the instance's token. Its keys are those of
// jupyter_server 2 (JupyterLab 4, notebook 7), tried with jupyter_server 2.21.
#pragma once

#include "agent/base/secret.hpp"
#include "agent/graph/step.hpp"
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
            directory;        // absolute, relative to the user's home, or empty: the home
        Secret password_hash; // empty: the token alone opens
    };
    JupyterConfig(StepPorts ports, Wish wish) : ports_{std::move(ports)}, wish_{std::move(wish)} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    [[nodiscard]] std::filesystem::path directory_for(const Account& user) const;

    StepPorts ports_;
    Wish wish_;
};

// The file's content. Jupyter listens on a unix socket alone; TLS ends in the front.
[[nodiscard]] std::string jupyter_config_text(const std::filesystem::path& directory,
                                              const Secret& password_hash,
                                              const Secret& token);

// The token of this instance, as jupyter_config made it; nullopt when there is none (yet).
[[nodiscard]] std::optional<Secret> current_token(const Root& root);

// The token as Jupyter's configuration carries it: for whoever may read that, root and the
// machine's user; nullopt for anybody else.
[[nodiscard]] std::optional<Secret> configured_token(const Root& root);

} // namespace agent
