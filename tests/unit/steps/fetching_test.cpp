#include "agent/steps/fetching.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <string>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("fetching: a plain network asks for nothing", "[unit][steps]") {
    CHECK(fetching_environment({}).empty());
    CHECK(apt_network_options({}).empty());
}

TEST_CASE("fetching: every program reads the proxy by its own name for it", "[unit][steps]") {
    const auto variables = fetching_environment({"http://proxy.example.com:3128", {}, {}});
    for (const std::string name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"})
        CHECK(variables.at(name) == "http://proxy.example.com:3128");
    CHECK(variables.size() == 6);
}

TEST_CASE("fetching: the machine and the metadata server are never asked through the proxy",
          "[unit][steps]") {
    const auto variables = fetching_environment(
        {"http://proxy.example.com:3128", {".example.com", "localhost", "10.0.0.0/8"}, {}});
    for (const std::string name : {"no_proxy", "NO_PROXY"})
        CHECK(variables.at(name) == "localhost,127.0.0.1,::1,169.254.169.254,"
                                    "metadata.google.internal,metadata,.example.com,10.0.0.0/8");
}

TEST_CASE("fetching: every program trusts the bundle by its own name for it", "[unit][steps]") {
    const auto variables = fetching_environment({"", {}, "/etc/company.pem"});
    for (const std::string name : {"SSL_CERT_FILE",
                                   "REQUESTS_CA_BUNDLE",
                                   "PIP_CERT",
                                   "CURL_CA_BUNDLE",
                                   "GIT_SSL_CAINFO",
                                   "NODE_EXTRA_CA_CERTS"})
        CHECK(variables.at(name) == "/etc/company.pem");
    CHECK(variables.size() == 6);
}

TEST_CASE("fetching: a bundle must be there for everybody to read", "[unit][steps]") {
    const TempRoot root;
    const auto file = root.path() / "company.pem";
    const auto judge = [&] {
        const auto readable = certificates_are_readable(root.root(), {"", {}, "/company.pem"});
        if (readable)
            return std::string{};
        CHECK(readable.error().kind == ErrorKind::misconfigured);
        CHECK_FALSE(readable.error().next.empty());
        return readable.error().message;
    };
    CHECK_THAT(judge(), ContainsSubstring("there is no /company.pem"));
    std::ofstream{file} << "-----BEGIN CERTIFICATE-----\n";
    CHECK(judge().empty());
    std::filesystem::permissions(file, std::filesystem::perms{0640});
    CHECK_THAT(judge(), ContainsSubstring("not every user may read"));
    std::filesystem::remove(file);
    std::filesystem::create_directory(file);
    CHECK_THAT(judge(), ContainsSubstring("is no file"));
}
