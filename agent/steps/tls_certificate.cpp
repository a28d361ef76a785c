#include "agent/steps/tls_certificate.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/wrong_clock.hpp"

#include <algorithm>
#include <array>

#include <arpa/inet.h>
#include <sys/stat.h>

namespace agent {
namespace {

constexpr auto renewed_before_end = std::chrono::hours{24 * 30};

// The best that is known of the time: whoever reads the certificate elsewhere has the right one.
WallTime now(const Clock& clock) {
    return std::max(clock.wall(), clock.earliest());
}

Result<std::optional<std::string>> read_pem(const Root& root) {
    return read_file(root / layout::certificate, 256 * 1024);
}

bool is_private(const Root& root) {
    struct stat status{};
    return ::lstat((root / layout::certificate).c_str(), &status) == 0 &&
           (status.st_mode & 077U) == 0;
}

// As a certificate gives it back: an address in its shortest form, a name in lower case.
std::string canonical(const std::string& name) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    std::array<char, INET6_ADDRSTRLEN> text{};
    for (const int family : {AF_INET, AF_INET6})
        if (::inet_pton(family, name.c_str(), address.data()) == 1 &&
            ::inet_ntop(family, address.data(), text.data(), text.size()) != nullptr)
            return text.data();
    return lower(name);
}

} // namespace

TlsCertificate::TlsCertificate(StepPorts ports,
                               std::string common_name,
                               std::vector<std::string> names)
    : ports_{std::move(ports)}, common_name_{std::move(common_name)}, names_{std::move(names)} {
    std::transform(names_.begin(), names_.end(), names_.begin(), canonical);
    std::sort(names_.begin(), names_.end());
    names_.erase(std::unique(names_.begin(), names_.end()), names_.end());
}

std::string TlsCertificate::fingerprint() const {
    return join(names_, " ");
}

boost::asio::awaitable<Result<StepCheck>> TlsCertificate::check(StepContext&) {
    const auto pem = read_pem(ports_.root);
    if (!pem)
        co_return StepCheck::due(pem.error().message);
    if (!*pem)
        co_return StepCheck::due("there is no certificate");
    const auto facts = read_certificate(**pem);
    if (!facts)
        co_return StepCheck::due("the certificate cannot be read: " + facts.error().message);
    if (!facts->key_matches)
        co_return StepCheck::due("the key does not belong to the certificate");
    if (!is_private(ports_.root))
        co_return StepCheck::due("others could read its key");
    if (facts->not_after < now(ports_.clock) + renewed_before_end)
        co_return StepCheck::due("the certificate runs out within 30 days");
    const auto complaint = clock_complaint(ports_.clock);
    // It was made when the clock was ahead. One that is behind says nothing about a certificate.
    if (complaint.empty() && facts->not_before > ports_.clock.wall())
        co_return StepCheck::due("the certificate is not valid before " +
                                 timestamp(facts->not_before));
    for (const auto& name : names_)
        if (std::find(facts->names.begin(), facts->names.end(), name) == facts->names.end() &&
            std::find(facts->addresses.begin(), facts->addresses.end(), name) ==
                facts->addresses.end())
            co_return StepCheck::due("the certificate does not name " + name);
    co_return StepCheck::yes("SHA-256 " + facts->sha256.substr(0, 16) + "..." +
                             (complaint.empty() ? "" : "; " + complaint));
}

boost::asio::awaitable<Result<void>> TlsCertificate::apply(StepContext& context) {
    co_await await_right_clock(context, ports_.clock);
    const auto directory = (ports_.root / layout::certificate).parent_path();
    if (auto made = ensure_directory(directory, {.mode = 0700}); !made)
        co_return made;
    const auto pem = make_certificate(common_name_, names_, now(ports_.clock));
    if (!pem)
        co_return pem.error();
    co_return durable_write(ports_.root / layout::certificate, pem->reveal(), {.mode = 0600});
}

std::string current_public_certificate(const Root& root) {
    constexpr std::string_view begin = "-----BEGIN CERTIFICATE-----";
    constexpr std::string_view end = "-----END CERTIFICATE-----";
    const auto pem = read_pem(root);
    if (!pem || !*pem)
        return {};
    std::string certificates;
    const std::string& text = **pem;
    for (auto at = text.find(begin); at != std::string::npos; at = text.find(begin, at)) {
        const auto until = text.find(end, at);
        if (until == std::string::npos)
            break;
        certificates += text.substr(at, until + end.size() - at) + "\n";
        at = until;
    }
    return certificates;
}

std::string current_certificate_sha256(const Root& root) {
    const auto pem = read_pem(root);
    if (!pem || !*pem)
        return {};
    const auto facts = read_certificate(**pem);
    return facts ? facts->sha256 : std::string{};
}

} // namespace agent
