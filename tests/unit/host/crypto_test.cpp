#include "agent/base/unique_fd.hpp"
#include "agent/ports/crypto.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <set>
#include <string>

#include <fcntl.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::Matches;

namespace {

constexpr std::chrono::system_clock::time_point now{std::chrono::seconds{1'700'000'000}};

std::string certificate_with_key(const std::vector<std::string>& names) {
    return make_certificate("vm", names, now).value().reveal();
}

std::string block(const std::string& pem, const std::string& label) {
    const std::string end = "-----END " + label + "-----\n";
    const auto from = pem.find("-----BEGIN " + label + "-----");
    return pem.substr(from, pem.find(end) + end.size() - from);
}

} // namespace

TEST_CASE("crypto: SHA-256 is the one that everybody knows", "[unit][host]") {
    CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("crypto: a file is hashed from its start, wherever its descriptor stands",
          "[unit][host]") {
    const TempRoot root;
    const std::string content(700'000, 'x');
    REQUIRE(durable_write(root.path() / "file", content).has_value());
    const UniqueFd file{::open((root.path() / "file").c_str(), O_RDONLY | O_CLOEXEC)};
    REQUIRE(::lseek(file.get(), 1000, SEEK_SET) == 1000);
    CHECK(sha256_hex_of_fd(file.get()).value() == sha256_hex(content));
    CHECK(sha256_hex_of_fd(-1).has_error());
}

TEST_CASE("crypto: SHA-256 of pieces is that of the whole, at every point", "[unit][host]") {
    Sha256 sha256;
    CHECK(sha256.hex() == sha256_hex(""));
    sha256.add("ab");
    CHECK(sha256.hex() == sha256_hex("ab"));
    sha256.add("c");
    Sha256 moved = std::move(sha256);
    CHECK(moved.hex() == sha256_hex("abc"));
}

TEST_CASE("crypto: random bytes are as many as asked for and never the same", "[unit][host]") {
    std::set<std::string> seen;
    for (int i = 0; i < 100; ++i) {
        const std::string text = random_hex(16);
        CHECK_THAT(text, Matches("[0-9a-f]{32}"));
        seen.insert(text);
    }
    CHECK(seen.size() == 100);
    CHECK(random_hex(0).empty());
}

TEST_CASE("crypto: a password's hash has Jupyter's form and another salt each time",
          "[unit][host]") {
    const Secret password{"correct horse"};
    const auto first = hash_password(password);
    const auto second = hash_password(password);
    REQUIRE(first.has_value());
    REQUIRE(second.has_value());
    CHECK_THAT(*first,
               Matches(R"(argon2:\$argon2id\$v=19\$m=10240,t=10,p=8)"
                       R"(\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43})"));
    CHECK(*first != *second);
}

TEST_CASE("crypto: a salted hash is what a notebook computes of the password and the salt",
          "[unit][host]") {
    const Secret password{"пароль"};
    const auto first = salted_password_hash(password);
    CHECK_THAT(first, Matches("sha256:[0-9a-f]{32}:[0-9a-f]{64}"));
    CHECK(first != salted_password_hash(password));
    const std::string salt = first.substr(7, 32);
    CHECK(first == "sha256:" + salt + ":" + sha256_hex("пароль" + salt));
}

TEST_CASE("crypto: a certificate that we made says what we put in", "[unit][host]") {
    const std::string pem =
        certificate_with_key({"vm.example", "34.1.2.3", "VM.example", "fd00::1", "localhost"});
    const auto facts = read_certificate(pem);
    REQUIRE(facts.has_value());
    CHECK(facts->names == std::vector<std::string>{"vm.example", "localhost"});
    CHECK(facts->addresses == std::vector<std::string>{"34.1.2.3", "fd00::1"});
    CHECK(facts->not_after == now + std::chrono::days{3650});
    CHECK_THAT(facts->sha256, Matches("[0-9a-f]{64}"));
    CHECK(facts->key_matches);
}

TEST_CASE("crypto: two certificates are never the same one", "[unit][host]") {
    CHECK(read_certificate(certificate_with_key({})).value().sha256 !=
          read_certificate(certificate_with_key({})).value().sha256);
}

TEST_CASE("crypto: a certificate's key is known whatever the order in the file", "[unit][host]") {
    const std::string ours = certificate_with_key({"vm"});
    const std::string other = certificate_with_key({"vm"});
    const std::string certificate = block(ours, "CERTIFICATE");
    const std::string key = block(ours, "PRIVATE KEY");
    CHECK(read_certificate(key + certificate).value().key_matches);
    CHECK(read_certificate(certificate + key).value().key_matches);
    CHECK_FALSE(read_certificate(certificate).value().key_matches);
    CHECK_FALSE(read_certificate(certificate + block(other, "PRIVATE KEY")).value().key_matches);
    CHECK(read_certificate(certificate + block(other, "CERTIFICATE") + key).value().key_matches);
}

TEST_CASE("crypto: what is no certificate is a permanent error", "[unit][host]") {
    const std::string ours = certificate_with_key({"vm"});
    const std::string text = GENERATE_COPY(
        std::string{}, "text", ours.substr(0, ours.size() - 40), block(ours, "PRIVATE KEY"));
    const auto facts = read_certificate(text);
    REQUIRE(facts.has_error());
    CHECK(facts.error().kind == ErrorKind::permanent);
}

TEST_CASE("crypto: a common name longer than X.509 allows is cut, the names are not",
          "[unit][host]") {
    const std::string name = std::string(60, 'a') + "." + std::string(60, 'b') + ".internal";
    const auto pem = make_certificate(name, {name}, now);
    REQUIRE(pem.has_value());
    CHECK(read_certificate(pem->reveal()).value().names == std::vector<std::string>{name});
}

TEST_CASE("crypto: a name that no certificate can bear is misconfigured", "[unit][host]") {
    const std::string name = GENERATE("", "a b", "a\nb", "bücher.example", "DNS:a,IP:1.2.3.4");
    const auto pem = make_certificate("vm", {name}, now);
    REQUIRE(pem.has_error());
    CHECK(pem.error().kind == ErrorKind::misconfigured);
}
