// Owns the state: Debian packages are installed. An unpinned package accepts any version; nothing
// is ever removed or downgraded.
#pragma once

#include "agent/graph/step.hpp"

#include <string>
#include <vector>

namespace agent {

class AptPackages : public Guarantee {
public:
    // Each "name" or "name=version".
    explicit AptPackages(std::vector<std::string> packages);
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    std::vector<std::string> packages_;
};

// Those of `packages` that dpkg-query's answer ("name\tstatus\tversion" lines) does not fulfil.
[[nodiscard]] std::vector<std::string> missing_packages(const std::vector<std::string>& packages,
                                                        std::string_view dpkg_answer);

// What apt-get said, as an Error: a lock, a mirror or the network is transient, an unknown package
// is named and permanent.
[[nodiscard]] Error apt_error(const CommandOutcome& outcome);

} // namespace agent
