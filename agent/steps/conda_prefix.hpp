// Owns the state: a Python that conda made (Anaconda's or Miniforge's installer) stands at the
// prefix, with conda, and belongs to the machine's user. A half-made one of ours is made again in
// place; one that was whole keeps what the user added.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/fetching.hpp"
#include "agent/steps/prefix.hpp"
#include "agent/steps/step_ports.hpp"
#include "agent/steps/work_mark.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace agent {

class CondaPrefix : public Guarantee {
public:
    struct Wish {
        std::string user;
        std::filesystem::path prefix;
        std::string installer; // for people: "Miniforge 26.3.2-3"
        std::string url;       // https, ends in .sh
        std::string sha256;
        std::optional<std::uint64_t> bytes; // of the installer, where it is known
        Network network = {};
    };
    CondaPrefix(StepPorts ports, Wish wish)
        : ports_{std::move(ports)}, wish_{std::move(wish)}, claim_{ports_.root, wish_.prefix},
          work_{WorkMark::beside(ports_.root, wish_.prefix, "python")} {}
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    enum class Present { nothing, half, whole };
    // Where the verified installer lies for as long as it is needed. constructor(1) refuses to run
    // under a name that does not end in .sh.
    [[nodiscard]] std::string installer_file() const;
    boost::asio::awaitable<Result<Present>> present(StepContext& context, Account user) const;
    boost::asio::awaitable<Result<void>> fetch_installer(StepContext& context, Account user);
    boost::asio::awaitable<Result<void>> clear(StepContext& context, Account user) const;
    boost::asio::awaitable<Result<void>>
    install(StepContext& context, Account user, Present present) const;

    StepPorts ports_;
    Wish wish_;
    Prefix claim_;
    WorkMark work_;
};

// An installer's failure as an Error: what it said of the disk or of this machine, else its last
// words.
[[nodiscard]] Error constructor_error(const CommandOutcome& outcome);

} // namespace agent
