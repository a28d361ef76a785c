// Port: digests, randomness, password hashes and certificates; OpenSSL and libargon2 stay in host/.
#pragma once

#include "agent/base/error.hpp"
#include "agent/base/secret.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent {

[[nodiscard]] std::string sha256_hex(std::string_view bytes);

// Of a file that may be large, read through the open descriptor from its start.
[[nodiscard]] Result<std::string> sha256_hex_of_fd(int fd);

// Of bytes that come one after the other.
class Sha256 {
public:
    Sha256();
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;
    ~Sha256();
    void add(std::string_view bytes);
    // Of all that was added until now; more may follow.
    [[nodiscard]] std::string hex() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// `bytes` random bytes as lower-case hex.
[[nodiscard]] std::string random_hex(std::size_t bytes);

// "argon2:$argon2id$v=19$m=10240,t=10,p=8$…", Jupyter's own parameters and form.
[[nodiscard]] Result<std::string> hash_password(const Secret& password);

// "sha256:SALT:DIGEST" for a notebook that knows no argon2: SALT is 32 hex digits, DIGEST that of
// the password with the salt behind it, in one round. Source: notebook 6.0, auth/security.py.
[[nodiscard]] std::string salted_password_hash(const Secret& password);

struct CertificateFacts {
    std::string sha256; // lower-case hex of the DER, what a browser shows as the fingerprint
    std::vector<std::string> names;     // SAN DNS
    std::vector<std::string> addresses; // SAN IP, textual
    std::chrono::system_clock::time_point not_before;
    std::chrono::system_clock::time_point not_after;
    bool key_matches = false; // also when there is no key
};

// Facts of a PEM (certificate chain, leaf first, and its private key if it is there).
[[nodiscard]] Result<CertificateFacts> read_certificate(std::string_view combined_pem);

// A self-signed EC P-256 server certificate with its key, as one PEM. notBefore is `now` less an
// hour, notAfter ten years on. `names` that are addresses become IP SANs.
[[nodiscard]] Result<Secret> make_certificate(const std::string& common_name,
                                              const std::vector<std::string>& names,
                                              std::chrono::system_clock::time_point now);

} // namespace agent
