#include "agent/host/https_client.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <openssl/x509_vfy.h>

#include <chrono>
#include <string>

using namespace agent;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr int built_in = 2024;

std::chrono::system_clock::time_point in(int year) {
    return std::chrono::sys_days{std::chrono::year{year} / 6 / 1};
}

CertificateProblem problem(int code) {
    CertificateProblem found;
    found.code = code;
    found.issuer = "Some CA";
    found.names = {"a.example", "b.example"};
    found.not_before = in(2023);
    found.not_after = in(2025);
    return found;
}

} // namespace

TEST_CASE(
    "https client: a certificate of the future is the clock's fault before the agent was built",
    "[unit][host]") {
    const auto failure =
        explain_certificate("host", problem(X509_V_ERR_CERT_NOT_YET_VALID), in(2015), built_in);
    CHECK(failure.trouble == Trouble::unreachable);
    CHECK(failure.error.kind == ErrorKind::transient);
    CHECK_THAT(failure.error.message, ContainsSubstring("the clock says 2015"));
    CHECK_THAT(failure.error.next, ContainsSubstring("timedatectl"));
}

TEST_CASE("https client: each reason has words of its own and is final", "[unit][host]") {
    struct Row {
        int code;
        std::string words;
    };
    const auto row =
        GENERATE(Row{X509_V_ERR_CERT_NOT_YET_VALID, "is not valid before 2023-06-01"},
                 Row{X509_V_ERR_CERT_HAS_EXPIRED, "expired on 2025-06-01"},
                 Row{X509_V_ERR_HOSTNAME_MISMATCH, "is for a.example, b.example, not for host"},
                 Row{X509_V_ERR_IP_ADDRESS_MISMATCH, "not for host"},
                 Row{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "signed by itself"},
                 Row{X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "not trusted here: Some CA"},
                 Row{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "not trusted here: Some CA"},
                 Row{X509_V_ERR_CERT_REVOKED, "is not accepted: certificate revoked"});
    const auto failure = explain_certificate("host", problem(row.code), in(2024), built_in);
    CHECK(failure.trouble == Trouble::final);
    CHECK(failure.error.kind == ErrorKind::permanent);
    CHECK_THAT(failure.error.message, ContainsSubstring(row.words));
}

TEST_CASE("https client: without authorities there is none", "[unit][host]") {
    boost::asio::io_context io{1};
    HttpsSettings settings;
    settings.ca_certificates = GENERATE("/nonexistent.pem", "/dev/null");
    const auto client = HttpsClient::make(io, settings);
    REQUIRE(client.has_error());
    CHECK(client.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(client.error().message, ContainsSubstring("[network] ca_certificates"));
}
