// libargon2's one owner: Jupyter's password hashes.
#include "agent/ports/crypto.hpp"

#include <argon2.h>

#include <array>
#include <cerrno>

#include <sys/random.h>

namespace agent {
namespace {

// As in jupyter_server.auth.security.passwd; a verification costs Jupyter about 0.1 s.
constexpr std::uint32_t passes = 10;
constexpr std::uint32_t memory_kib = 10240;
constexpr std::uint32_t lanes = 8;
constexpr std::size_t salt_size = 16;
constexpr std::size_t hash_size = 32;

} // namespace

Result<std::string> hash_password(const Secret& password) {
    std::array<unsigned char, salt_size> salt{};
    if (::getrandom(salt.data(), salt.size(), 0) != static_cast<ssize_t>(salt.size()))
        return system_error("taking random bytes for a salt", errno);
    std::string encoded(
        ::argon2_encodedlen(passes, memory_kib, lanes, salt_size, hash_size, Argon2_id), '\0');
    const std::string& text = password.reveal();
    const int outcome = ::argon2id_hash_encoded(passes,
                                                memory_kib,
                                                lanes,
                                                text.data(),
                                                text.size(),
                                                salt.data(),
                                                salt.size(),
                                                hash_size,
                                                encoded.data(),
                                                encoded.size());
    if (outcome != ARGON2_OK)
        return permanent(std::string{"hashing the password: "} + ::argon2_error_message(outcome));
    encoded.resize(encoded.find('\0'));
    return "argon2:" + encoded;
}

std::string salted_password_hash(const Secret& password) {
    const std::string salt = random_hex(salt_size);
    return "sha256:" + salt + ":" + sha256_hex(password.reveal() + salt);
}

} // namespace agent
