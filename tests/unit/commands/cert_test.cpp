#include "agent/commands/cert.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/steps/tls_certificate.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("cert: without a certificate there is one sentence and exit 1", "[unit][commands]") {
    const TempRoot directory;
    std::ostringstream out;
    std::ostringstream errors;
    CHECK(cert_command(directory.root(), out, errors) == 1);
    CHECK(out.str().empty());
    CHECK(errors.str() == "agent cert: there is no certificate yet; see `agent status`\n");
}

TEST_CASE("cert: fingerprint, names and time, from the public part alone", "[unit][commands]") {
    const TempRoot directory;
    for (const char* path : {layout::certificate, layout::public_certificate})
        std::filesystem::create_directories((directory.root() / path).parent_path());
    const std::vector<std::string> names{"vm-1", "localhost", "127.0.0.1", "203.0.113.7"};
    const auto made =
        make_certificate("vm-1", names, std::chrono::system_clock::time_point{1700000000s});
    REQUIRE(made.has_value());
    std::ofstream{directory.root() / layout::certificate} << made->reveal();
    const std::string pem = current_public_certificate(directory.root());
    CHECK_THAT(pem, ContainsSubstring("BEGIN CERTIFICATE"));
    CHECK_THAT(pem, !ContainsSubstring("KEY"));
    REQUIRE(publish_certificate(directory.root(), pem).has_value());

    std::ostringstream out;
    std::ostringstream errors;
    CHECK(cert_command(directory.root(), out, errors) == 0);
    CHECK(errors.str().empty());
    const std::string hex = current_certificate_sha256(directory.root());
    std::string browsers; // as they show it
    for (std::size_t i = 0; i < hex.size(); ++i)
        browsers += (i > 0 && i % 2 == 0 ? ":" : "") +
                    std::string(1, static_cast<char>(std::toupper(hex[i])));
    CHECK(out.str() == "SHA-256 fingerprint\n" + browsers + "\n" + hex +
                           "\n"
                           "\n"
                           "names       vm-1\n"
                           "            localhost\n"
                           "addresses   127.0.0.1\n"
                           "            203.0.113.7\n"
                           "not before  2023-11-14T21:13:20Z\n"
                           "not after   2033-11-11T22:13:20Z\n");
}

TEST_CASE("cert: what is no certificate is an error", "[unit][commands]") {
    const TempRoot directory;
    std::filesystem::create_directories(directory.root() / layout::runtime_directory);
    REQUIRE(publish_certificate(directory.root(), "nonsense").has_value());
    std::ostringstream out;
    std::ostringstream errors;
    CHECK(cert_command(directory.root(), out, errors) == 1);
    CHECK_THAT(errors.str(), ContainsSubstring("reading the certificate"));
}
