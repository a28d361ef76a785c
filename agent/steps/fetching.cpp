#include "agent/steps/fetching.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/network_variables.hpp"

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

// Whether neither IPv4 nor IPv6 has a way out; false where that cannot be read.
bool has_no_way_out(const Root& root) {
    const auto routes = read_file(root / "/proc/net/route");
    if (!routes || !*routes)
        return false;
    for (const auto& line : split(**routes, '\n')) {
        const auto fields = split(line, '\t'); // Iface Destination Gateway Flags … Mask
        if (fields.size() > 7 && fields[1] == "00000000" && fields[7] == "00000000")
            return false;
    }
    const auto other_routes = read_file(root / "/proc/net/ipv6_route");
    if (!other_routes || !*other_routes)
        return true;
    // "DESTINATION LENGTH … INTERFACE"; the one of lo rejects what has no other.
    const std::string everywhere = std::string(32, '0') + " 00 ";
    const auto lines = split(**other_routes, '\n');
    return std::none_of(lines.begin(), lines.end(), [&](const std::string& line) {
        return line.starts_with(everywhere) && !line.ends_with(" lo");
    });
}

std::string name_servers(const Root& root) {
    const auto resolver = read_file(root / "/etc/resolv.conf");
    if (!resolver || !*resolver)
        return "none, there is no /etc/resolv.conf";
    constexpr std::string_view key = "nameserver";
    std::vector<std::string> servers;
    for (const auto& line : split(**resolver, '\n'))
        if (line.starts_with(key) && servers.size() < 3)
            servers.push_back(printable(trim(line.substr(key.size())), 45));
    return servers.empty() ? "none in /etc/resolv.conf" : join(servers, ", ");
}

bool is_about_names(const std::string& message) {
    for (const std::string_view sign : {"Temporary failure resolving",
                                        "Could not resolve",
                                        "name resolution",
                                        "Name or service not known",
                                        "dns error"})
        if (message.find(sign) != std::string::npos)
            return true;
    return false;
}

} // namespace

std::map<std::string, std::string> fetching_environment(const Network& network) {
    std::map<std::string, std::string> variables;
    if (!network.proxy.empty()) {
        for (const char* name : network_variables::proxy)
            variables[name] = network.proxy;
        for (const char* name : network_variables::without_proxy)
            variables[name] = direct_destinations(network);
    }
    if (!network.ca_certificates.empty())
        for (const char* name : network_variables::certificates)
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
    // For an http:// archive behind an https:// proxy, whose certificate apt's http method judges.
    if (!network.ca_certificates.empty() && network.proxy.starts_with("https://"))
        options.push_back("--option=Acquire::http::CAInfo=" + network.ca_certificates.string());
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

Error with_network_state(Error error, const Root& root) {
    if (error.kind != ErrorKind::transient)
        return error;
    if (has_no_way_out(root)) {
        error = context(std::move(error), "waiting for the network, this machine has no route yet");
        error.next = "it goes on by itself once there is one; `ip route` and `journalctl -b` show "
                     "what the network waits for";
    } else if (is_about_names(error.message)) {
        error.message += "; name servers: " + name_servers(root);
        error.next = "check that they answer, and that [network] proxy is right; `agent retry` "
                     "tries again";
    }
    return error;
}

} // namespace agent
