#include "agent/ports/crypto.hpp"

#include "agent/base/text.hpp"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <limits>
#include <memory>
#include <set>
#include <stdexcept>

#include <arpa/inet.h>
#include <unistd.h>

namespace agent {
namespace {

template <auto release> struct Releaser {
    template <class T> void operator()(T* object) const { release(object); }
};
using Bio = std::unique_ptr<BIO, Releaser<&::BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Releaser<&::EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Releaser<&::X509_free>>;
using Digest = std::unique_ptr<EVP_MD_CTX, Releaser<&::EVP_MD_CTX_free>>;
using Number = std::unique_ptr<BIGNUM, Releaser<&::BN_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Releaser<&::GENERAL_NAMES_free>>;
using Name = std::unique_ptr<GENERAL_NAME, Releaser<&::GENERAL_NAME_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Releaser<&::X509_EXTENSION_free>>;

constexpr std::size_t longest_common_name = 64; // ub-common-name, RFC 5280
constexpr std::size_t largest_pem = 1'048'576;
constexpr std::size_t hashed_at_once = 262'144;

// What OpenSSL says of its last failure; its queue is empty afterwards.
Error openssl_error(std::string_view doing) {
    std::array<char, 256> text{};
    const unsigned long code = ::ERR_peek_last_error();
    if (code != 0)
        ::ERR_error_string_n(code, text.data(), text.size());
    ::ERR_clear_error();
    std::string message{doing};
    message += code != 0 ? ": " + std::string{text.data()} : std::string{" failed"};
    return permanent(std::move(message));
}

std::string finish(Digest& digest) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
    unsigned int size = 0;
    if (::EVP_DigestFinal_ex(digest.get(), bytes.data(), &size) != 1)
        throw std::runtime_error{"SHA-256 is not to be had from OpenSSL"};
    return hex(std::span{bytes}.first(size));
}

Digest new_sha256() {
    Digest digest{::EVP_MD_CTX_new()};
    if (!digest || ::EVP_DigestInit_ex(digest.get(), ::EVP_sha256(), nullptr) != 1)
        throw std::runtime_error{"SHA-256 is not to be had from OpenSSL"};
    return digest;
}

void add(Digest& digest, const void* bytes, std::size_t size) {
    if (::EVP_DigestUpdate(digest.get(), bytes, size) != 1)
        throw std::runtime_error{"SHA-256 is not to be had from OpenSSL"};
}

// An encrypted key must not make OpenSSL ask the terminal.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
    return -1;
}

Bio reader(std::string_view text) {
    return Bio{::BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

std::string text_of(const ASN1_STRING* string) {
    const unsigned char* const bytes = ::ASN1_STRING_get0_data(string);
    return {bytes, bytes + ::ASN1_STRING_length(string)};
}

std::string address_of(const ASN1_STRING* string) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const int family = ::ASN1_STRING_length(string) == 4    ? AF_INET
                       : ::ASN1_STRING_length(string) == 16 ? AF_INET6
                                                            : AF_UNSPEC;
    if (family == AF_UNSPEC ||
        !::inet_ntop(family, ::ASN1_STRING_get0_data(string), text.data(), text.size()))
        return {};
    return text.data();
}

void read_names(X509* certificate, CertificateFacts& facts) {
    const Names names{static_cast<GENERAL_NAMES*>(
        ::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    const int count = names ? sk_GENERAL_NAME_num(names.get()) : 0;
    for (int i = 0; i < count; ++i) {
        int type = 0;
        const auto* value = static_cast<const ASN1_STRING*>(
            ::GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
        if (type == GEN_DNS)
            facts.names.push_back(text_of(value));
        else if (type == GEN_IPADD)
            facts.addresses.push_back(address_of(value));
    }
}

Result<Name> alternative_name(const std::string& text) {
    Name name{::GENERAL_NAME_new()};
    if (!name)
        return openssl_error("making a certificate");
    if (ASN1_OCTET_STRING* const address = ::a2i_IPADDRESS(text.c_str())) {
        ::GENERAL_NAME_set0_value(name.get(), GEN_IPADD, address);
        return name;
    }
    ::ERR_clear_error();
    const bool is_name =
        !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '.' || c == '_' || c == '*';
        });
    if (!is_name)
        return misconfigured(
            "\"" + printable(text, 80) +
                "\" is neither a DNS name nor an address that a certificate can bear",
            "write an international name in its xn-- form");
    ASN1_IA5STRING* const dns = ::ASN1_IA5STRING_new();
    if (!dns || ::ASN1_STRING_set(dns, text.data(), static_cast<int>(text.size())) != 1) {
        ::ASN1_IA5STRING_free(dns);
        return openssl_error("making a certificate");
    }
    ::GENERAL_NAME_set0_value(name.get(), GEN_DNS, dns);
    return name;
}

Result<Names> alternative_names(const std::vector<std::string>& texts) {
    Names names{::GENERAL_NAMES_new()};
    std::set<std::string> seen;
    for (const auto& text : texts) {
        if (!seen.insert(lower(text)).second)
            continue;
        auto name = alternative_name(text);
        if (!name)
            return name.error();
        if (!names || sk_GENERAL_NAME_push(names.get(), name->get()) <= 0)
            return openssl_error("making a certificate");
        GENERAL_NAME* const given = name->release();
        static_cast<void>(given);
    }
    return names;
}

bool add_extension(X509* certificate, int nid, const char* value) {
    X509V3_CTX context{};
    ::X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    const Extension extension{::X509V3_EXT_conf_nid(nullptr, &context, nid, value)};
    return extension && ::X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
    const Number serial{::BN_new()};
    return serial && ::BN_rand(serial.get(), 128, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
           ::BN_to_ASN1_INTEGER(serial.get(), ::X509_get_serialNumber(certificate)) != nullptr;
}

bool set_subject(X509* certificate, std::string_view common_name) {
    X509_NAME* const subject = ::X509_get_subject_name(certificate);
    const void* const bytes = common_name.data();
    return ::X509_NAME_add_entry_by_NID(subject,
                                        NID_commonName,
                                        MBSTRING_UTF8,
                                        static_cast<const unsigned char*>(bytes),
                                        static_cast<int>(common_name.size()),
                                        -1,
                                        0) == 1 &&
           ::X509_set_issuer_name(certificate, subject) == 1;
}

bool set_validity(X509* certificate, std::chrono::system_clock::time_point now) {
    using std::chrono::system_clock;
    const auto from = system_clock::to_time_t(now - std::chrono::hours{1});
    const auto until = system_clock::to_time_t(now + std::chrono::days{3650});
    return ::ASN1_TIME_set(::X509_getm_notBefore(certificate), from) != nullptr &&
           ::ASN1_TIME_set(::X509_getm_notAfter(certificate), until) != nullptr;
}

} // namespace

std::string sha256_hex(std::string_view bytes) {
    Digest digest = new_sha256();
    add(digest, bytes.data(), bytes.size());
    return finish(digest);
}

struct Sha256::State {
    Digest digest = new_sha256();
};

Sha256::Sha256() : state_{std::make_unique<State>()} {}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::add(std::string_view bytes) {
    agent::add(state_->digest, bytes.data(), bytes.size());
}

std::string Sha256::hex() const {
    Digest copy{::EVP_MD_CTX_new()};
    if (!copy || ::EVP_MD_CTX_copy_ex(copy.get(), state_->digest.get()) != 1)
        throw std::runtime_error{"SHA-256 is not to be had from OpenSSL"};
    return finish(copy);
}

Result<std::string> sha256_hex_of_fd(int fd) {
    Digest digest = new_sha256();
    std::vector<char> block(hashed_at_once);
    off_t offset = 0;
    while (true) {
        const ssize_t count = ::pread(fd, block.data(), block.size(), offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error("reading a file to hash it", errno);
        if (count == 0)
            return finish(digest);
        add(digest, block.data(), static_cast<std::size_t>(count));
        offset += count;
    }
}

std::string random_hex(std::size_t bytes) {
    std::vector<unsigned char> random(bytes);
    if (bytes > static_cast<std::size_t>(std::numeric_limits<int>::max()) ||
        ::RAND_bytes(random.data(), static_cast<int>(bytes)) != 1)
        throw std::runtime_error{"the kernel gave no random bytes"};
    return hex(random);
}

Result<CertificateFacts> read_certificate(std::string_view combined_pem) {
    if (combined_pem.size() > largest_pem)
        return permanent("reading the certificate: the file is larger than 1 MiB");
    const Bio certificate_text = reader(combined_pem);
    const Certificate certificate{
        ::PEM_read_bio_X509(certificate_text.get(), nullptr, &no_passphrase, nullptr)};
    if (!certificate)
        return openssl_error("reading the certificate");

    CertificateFacts facts;
    unsigned char* der = nullptr;
    const int size = ::i2d_X509(certificate.get(), &der);
    if (size <= 0)
        return openssl_error("reading the certificate");
    const void* const der_bytes = der;
    facts.sha256 =
        sha256_hex({static_cast<const char*>(der_bytes), static_cast<std::size_t>(size)});
    ::OPENSSL_free(der);
    read_names(certificate.get(), facts);

    std::tm from{};
    if (::ASN1_TIME_to_tm(::X509_get0_notBefore(certificate.get()), &from) != 1)
        return openssl_error("reading the beginning of the certificate's validity");
    facts.not_before = std::chrono::system_clock::from_time_t(::timegm(&from));
    std::tm until{};
    if (::ASN1_TIME_to_tm(::X509_get0_notAfter(certificate.get()), &until) != 1)
        return openssl_error("reading the end of the certificate's validity");
    facts.not_after = std::chrono::system_clock::from_time_t(::timegm(&until));

    const Bio key_text = reader(combined_pem);
    const Key key{::PEM_read_bio_PrivateKey(key_text.get(), nullptr, &no_passphrase, nullptr)};
    facts.key_matches = key && ::X509_check_private_key(certificate.get(), key.get()) == 1;
    ::ERR_clear_error();
    return facts;
}

Result<Secret> make_certificate(const std::string& common_name,
                                const std::vector<std::string>& names,
                                std::chrono::system_clock::time_point now) {
    const auto alternatives = alternative_names(names);
    if (!alternatives)
        return alternatives.error();
    const Key key{EVP_EC_gen("P-256")};
    if (!key)
        return openssl_error("making a key");

    const Certificate certificate{::X509_new()};
    X509* const x509 = certificate.get();
    const std::string_view shown = std::string_view{common_name}.substr(0, longest_common_name);
    const bool filled =
        x509 && ::X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509) &&
        set_validity(x509, now) && set_subject(x509, shown) &&
        ::X509_set_pubkey(x509, key.get()) == 1 &&
        add_extension(x509, NID_basic_constraints, "critical,CA:FALSE") &&
        add_extension(x509, NID_key_usage, "critical,digitalSignature") &&
        add_extension(x509, NID_ext_key_usage, "serverAuth") &&
        add_extension(x509, NID_subject_key_identifier, "hash") &&
        (names.empty() ||
         ::X509_add1_ext_i2d(
             x509, NID_subject_alt_name, alternatives->get(), 0, X509V3_ADD_DEFAULT) == 1) &&
        ::X509_sign(x509, key.get(), ::EVP_sha256()) > 0;
    if (!filled)
        return openssl_error("making a certificate for " + printable(shown, 80));

    const Bio pem{::BIO_new(::BIO_s_secmem())};
    if (!pem ||
        ::PEM_write_bio_PKCS8PrivateKey(
            pem.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1 ||
        ::PEM_write_bio_X509(pem.get(), x509) != 1)
        return openssl_error("writing a certificate");
    std::string text(::BIO_ctrl_pending(pem.get()), '\0');
    if (::BIO_read(pem.get(), text.data(), static_cast<int>(text.size())) !=
        static_cast<int>(text.size()))
        return openssl_error("writing a certificate");
    return Secret{std::move(text)};
}

} // namespace agent
