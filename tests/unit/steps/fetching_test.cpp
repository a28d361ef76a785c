#include "agent/steps/fetching.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
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

TEST_CASE("fetching: apt's http method is told the bundle where the proxy has a certificate",
          "[unit][steps]") {
    const std::string option = "--option=Acquire::http::CAInfo=/etc/company.pem";
    const std::string proxy = GENERATE("http://proxy:3128", "https://proxy:3128");
    const auto options = apt_network_options({proxy, {}, "/etc/company.pem"});
    CHECK((std::find(options.begin(), options.end(), option) != options.end()) ==
          (proxy == "https://proxy:3128"));
    CHECK(options.size() == (proxy == "https://proxy:3128" ? 4 : 3));
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

TEST_CASE("fetching: what did not get through is told with what the machine lacks for it",
          "[unit][steps]") {
    const TempRoot machine{TempRoot::in_memory()};
    const auto put = [&](const char* path, const std::string& content) {
        const auto file = machine.root() / path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream{file} << content;
    };
    const std::string header =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU"
        "\tWindow\tIRTT\n";
    const std::string link = "ens4\t00014D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const std::string out = "ens4\t00000000\t01014D0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n";
    const std::string zeros(32, '0');
    const std::string reject =
        zeros + " 00 " + zeros + " 00 " + zeros + " ffffffff 00000001 00000000 00200200       lo\n";
    const std::string out_by_6 = zeros + " 00 " + zeros + " 00 " + std::string(32, '1') +
                                 " 00000400 00000003 00000000 00000003     ens4\n";
    const Error error = transient("fetching: Temporary failure resolving 'deb.example.com'");
    const auto told = [&] { return with_network_state(error, machine.root()).message; };

    CHECK_THAT(told(), ContainsSubstring("name servers: none, there is no /etc/resolv.conf"));
    put("/proc/net/route", header + link);
    put("/proc/net/ipv6_route", reject);
    CHECK_THAT(told(),
               ContainsSubstring("waiting for the network, this machine has no route yet: ") &&
                   ContainsSubstring("'deb.example.com'"));
    put("/proc/net/ipv6_route", reject + out_by_6);
    CHECK_THAT(told(), !ContainsSubstring("waiting"));
    put("/proc/net/ipv6_route", reject);
    put("/proc/net/route", header + out + link);
    put("/etc/resolv.conf", "search example.com\nnameserver 192.0.2.1\nnameserver\t192.0.2.2\n");
    CHECK_THAT(told(), ContainsSubstring("name servers: 192.0.2.1, 192.0.2.2"));

    put("/proc/net/route", header);
    CHECK(with_network_state(permanent("no such package"), machine.root()).message ==
          "no such package");
}
