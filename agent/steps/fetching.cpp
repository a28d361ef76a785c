#include "agent/steps/fetching.hpp"

#include "agent/base/text.hpp"

#include <algorithm>

#include <sys/stat.h>

namespace agent {
namespace {

const char* const correct_it = "correct [network] ca_certificates in the configuration";

std::string direct_destinations(const Network& network) {
    std::vector<std::string> names{
        "localhost", "127.0.0.1", "::1", "169.254.169.254", "metadata.google.internal", "metadata"};
    for (const auto& name : network.no_proxy)
        if (std::find(names.begin(), names.end(), name) == names.end())
            names.push_back(name);
    return join(names, ",");
}

} // namespace

std::map<std::string, std::string> fetching_environment(const Network& network) {
    std::map<std::string, std::string> variables;
    if (!network.proxy.empty()) {
        for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"})
            variables[name] = network.proxy;
        for (const char* name : {"no_proxy", "NO_PROXY"})
            variables[name] = direct_destinations(network);
    }
    if (!network.ca_certificates.empty())
        for (const char* name : {"SSL_CERT_FILE",
                                 "REQUESTS_CA_BUNDLE",
                                 "PIP_CERT",
                                 "CURL_CA_BUNDLE",
                                 "GIT_SSL_CAINFO",
                                 "NODE_EXTRA_CA_CERTS"})
            variables[name] = network.ca_certificates.string();
    return variables;
}

std::vector<std::string> apt_network_options(const Network& network) {
    std::vector<std::string> options;
    if (!network.proxy.empty()) {
        options.push_back("--option=Acquire::http::Proxy=" + network.proxy);
        options.push_back("--option=Acquire::https::Proxy=" + network.proxy);
    }
    if (!network.ca_certificates.empty())
        options.push_back("--option=Acquire::https::CAInfo=" + network.ca_certificates.string());
    return options;
}

Result<void> certificates_are_readable(const Root& root, const Network& network) {
    if (network.ca_certificates.empty())
        return {};
    const std::string path = network.ca_certificates.string();
    struct stat found{};
    if (::stat((root / path).c_str(), &found) != 0)
        return misconfigured("[network] ca_certificates: there is no " + path, correct_it);
    if (!S_ISREG(found.st_mode))
        return misconfigured("[network] ca_certificates: " + path + " is no file", correct_it);
    if ((found.st_mode & S_IROTH) == 0)
        return misconfigured("[network] ca_certificates: not every user may read " + path,
                             "run `chmod a+r " + path + "`: certificates are no secret");
    return {};
}

} // namespace agent
