#include "agent/ports/front_control.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"

namespace agent {
namespace {

constexpr std::int64_t version = 1;
constexpr std::size_t shown_digits = 12;

} // namespace

std::string front_identity_status(std::string_view certificate_sha256, const Secret& token) {
    return "certificate " + std::string{certificate_sha256.substr(0, shown_digits)} + ", token " +
           sha256_hex(token.reveal()).substr(0, shown_digits) + ".";
}

Secret write_front_identity(const FrontIdentity& identity) {
    return Secret{write_json(Value::Object{
        {"version", version, {}},
        {"certificate", identity.certificate.reveal(), {}},
        {"token", identity.token.reveal(), {}},
    })};
}

Result<FrontIdentity> read_front_identity(const Secret& message) {
    const auto value = parse_json(message.reveal());
    if (!value || value->integer_or("version", 0) != version)
        return permanent("the front does not understand what it was sent",
                         "restart agent-front.service, so that both are of one version");
    FrontIdentity identity{Secret{value->string_or("certificate", {})},
                           Secret{value->string_or("token", {})}};
    if (identity.certificate.empty() || identity.token.empty())
        return permanent("the front was sent no certificate, or no token");
    return identity;
}

std::string write_front_answer(const Result<std::string>& certificate_sha256) {
    if (certificate_sha256)
        return write_json(Value::Object{
            {"version", version, {}},
            {"certificate_sha256", *certificate_sha256, {}},
        });
    const Error& error = certificate_sha256.error();
    return write_json(Value::Object{
        {"version", version, {}},
        {"error", error.message, {}},
        {"next", error.next, {}},
    });
}

Result<std::string> read_front_answer(std::string_view message) {
    const auto value = parse_json(message);
    if (!value || value->integer_or("version", 0) != version)
        return transient("the front answered " + printable(message, 120));
    auto sha256 = value->string_or("certificate_sha256", {});
    if (!sha256.empty())
        return sha256;
    return permanent(printable(value->string_or("error", "the front did not say why not"), 400),
                     printable(value->string_or("next", {}), 400));
}

} // namespace agent
