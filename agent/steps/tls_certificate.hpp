// Owns the state: a certificate of this instance, with its key, names every way to reach the
// machine. Made here, self-signed; made anew only when a name or address is missing from it, it
// runs out, or is not valid yet. Its time is right for the world even where this clock is not.
#pragma once

#include "agent/graph/step.hpp"
#include "agent/steps/step_ports.hpp"

#include <string>
#include <vector>

namespace agent {

class TlsCertificate : public Guarantee {
public:
    TlsCertificate(StepPorts ports, std::string common_name, std::vector<std::string> names);
    [[nodiscard]] std::string fingerprint() const override;
    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override;
    boost::asio::awaitable<Result<void>> apply(StepContext& context) override;

private:
    StepPorts ports_;
    std::string common_name_;
    std::vector<std::string> names_; // DNS names and addresses
};

// The lower-case hex SHA-256 of the certificate that is in place; empty when there is none.
[[nodiscard]] std::string current_certificate_sha256(const Root& root);

// The certificate with its chain as PEM, without the key; empty when there is none.
[[nodiscard]] std::string current_public_certificate(const Root& root);

} // namespace agent
