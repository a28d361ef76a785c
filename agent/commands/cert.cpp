#include "agent/commands/cert.hpp"

#include "agent/base/text.hpp"
#include "agent/base/timestamp.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace agent {
namespace {

// "AB:CD:…"
std::string with_colons(std::string_view hex) {
    std::string out;
    for (std::size_t i = 0; i < hex.size(); ++i) {
        if (i > 0 && i % 2 == 0)
            out += ':';
        const char c = hex[i];
        out += c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return out;
}

// One a line, below each other.
void print(std::ostream& out, std::string_view what, const std::vector<std::string>& values) {
    for (std::size_t i = 0; i < values.size(); ++i)
        out << (i == 0 ? what : std::string(what.size(), ' ')) << printable(values[i]) << "\n";
}

} // namespace

int cert_command(const Root& root, std::ostream& out, std::ostream& errors) {
    const auto pem = read_file(root / layout::public_certificate, 256 * 1024);
    if (!pem || !*pem) {
        errors << "agent cert: "
               << (pem ? std::string{"there is no certificate yet; see `agent status`"}
                       : pem.error().message)
               << "\n";
        return 1;
    }
    const auto facts = read_certificate(**pem);
    if (!facts) {
        errors << "agent cert: " << facts.error().message << "\n";
        return 1;
    }
    out << "SHA-256 fingerprint\n" << with_colons(facts->sha256) << "\n" << facts->sha256 << "\n\n";
    print(out, "names       ", facts->names);
    print(out, "addresses   ", facts->addresses);
    print(out, "not before  ", {timestamp(facts->not_before)});
    print(out, "not after   ", {timestamp(facts->not_after)});
    out.flush();
    return 0;
}

} // namespace agent
