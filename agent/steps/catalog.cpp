#include "agent/steps/catalog.hpp"

#include "agent/steps/apt_packages.hpp"
#include "agent/steps/apt_repositories.hpp"
#include "agent/steps/disk_space.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/front.hpp"
#include "agent/steps/jupyter_config.hpp"
#include "agent/steps/jupyter_unit.hpp"
#include "agent/steps/python.hpp"
#include "agent/steps/python_packages.hpp"
#include "agent/steps/ready.hpp"
#include "agent/steps/service_user.hpp"
#include "agent/steps/tls_certificate.hpp"

#include <algorithm>

namespace agent {
namespace {

using namespace std::chrono_literals;

std::vector<std::string> debian_packages(const Settings& settings) {
    auto packages = settings.apt.packages;
    if (settings.python.kind == PythonKind::venv)
        packages.emplace_back("python3-venv");
    return packages;
}

std::string interface_package(const Settings& settings) {
    return settings.jupyter.interface == JupyterInterface::lab ? "jupyterlab" : "notebook";
}

std::vector<std::string> python_requirements(const Settings& settings) {
    auto requirements = settings.python.packages;
    const std::string needed = interface_package(settings);
    if (std::none_of(requirements.begin(), requirements.end(), [&](const std::string& requirement) {
            return required_name(requirement) == needed;
        }))
        requirements.push_back(needed);
    return requirements;
}

std::filesystem::path jupyter_program(const Settings& settings) {
    return settings.python.prefix / "bin" /
           (settings.jupyter.interface == JupyterInterface::lab ? "jupyter-lab"
                                                                : "jupyter-notebook");
}

std::vector<std::string> certificate_names(const Settings& settings, const MachineFacts* facts) {
    std::vector<std::string> names{"localhost", "127.0.0.1"};
    names.insert(names.end(), settings.tls.names.begin(), settings.tls.names.end());
    if (facts) {
        for (const auto* addresses : {&facts->internal_addresses, &facts->external_addresses})
            names.insert(names.end(), addresses->begin(), addresses->end());
        for (const auto& name : {facts->name, facts->hostname})
            if (!name.empty())
                names.push_back(name);
    }
    return names;
}

Network network_of(const Settings& settings) {
    const auto& network = settings.network;
    return {network.proxy, network.no_proxy, network.ca_certificates};
}

std::vector<AptRepositories::Repository> repositories_of(const Settings& settings) {
    std::vector<AptRepositories::Repository> repositories;
    for (const auto& one : settings.apt.repositories)
        repositories.push_back(
            {one.name, one.url, one.suite, one.components, one.key, one.keyring});
    return repositories;
}

DiskSpace::Wish space_for(const Settings& settings, const MachineFacts* facts) {
    DiskSpace::Wish wish;
    wish.user = settings.machine.user;
    wish.debian_packages = debian_packages(settings);
    if (settings.python.kind != PythonKind::none) {
        wish.prefix = settings.python.prefix;
        wish.requirements = python_requirements(settings);
    }
    if (facts)
        wish.boot_disk = {facts->name, facts->zone}; // gcloud names it after the instance
    return wish;
}

} // namespace

Reach jupyter_reach(const Settings& settings) {
    return settings.jupyter.password_hash.empty() ? Reach::this_machine : Reach::everywhere;
}

std::string jupyter_url(const Settings& settings, const MachineFacts* facts) {
    std::string address = "127.0.0.1";
    if (jupyter_reach(settings) == Reach::everywhere && facts) {
        if (!facts->external_addresses.empty())
            address = facts->external_addresses.front();
        else if (!facts->internal_addresses.empty())
            address = facts->internal_addresses.front();
    }
    const std::string port =
        settings.jupyter.port == 443 ? "" : ":" + std::to_string(settings.jupyter.port);
    if (address.find(':') != std::string::npos)
        address = "[" + address + "]"; // IPv6
    return "https://" + address + port + "/";
}

std::vector<Step>
make_steps(const Settings& settings, const MachineFacts* facts, const StepPorts& ports) {
    const std::string& user = settings.machine.user;
    const auto& prefix = settings.python.prefix;
    const std::uint16_t port = settings.jupyter.port;
    const std::string common_name = facts && !facts->name.empty() ? facts->name : "jupyter";

    const Network network = network_of(settings);

    std::vector<Step> steps;
    const auto add = [&](StepTraits traits, std::unique_ptr<Guarantee> guarantee) {
        steps.push_back({std::move(traits), std::move(guarantee)});
    };
    constexpr auto required = Importance::required;

    // id, needs, scope, importance, deadline, attempts → the state
    add({"disk_space", {}, Scope::image, required, 2min, 1},
        std::make_unique<DiskSpace>(ports, space_for(settings, facts)));
    add({"service_user", {}, Scope::image, required, 3min, 8},
        std::make_unique<ServiceUser>(ports, user));
    add({"apt_repositories", {"disk_space"}, Scope::image, required, 15min, 5},
        std::make_unique<AptRepositories>(ports, repositories_of(settings), network));
    add({"apt_packages", {"disk_space", "apt_repositories"}, Scope::image, required, 30min, 5},
        std::make_unique<AptPackages>(ports, debian_packages(settings), network));
    add({"tls_certificate", {}, Scope::instance, required, 1min, 3},
        std::make_unique<TlsCertificate>(ports, common_name, certificate_names(settings, facts)));
    if (settings.python.kind == PythonKind::none)
        return steps;

    add({"python", {"service_user", "apt_packages"}, Scope::image, required, 10min, 3},
        std::make_unique<PythonVenv>(ports, user, prefix));
    add({"python_packages", {"python"}, Scope::image, required, 60min, 5},
        std::make_unique<PythonPackages>(
            ports,
            PythonPackages::Wish{
                user, prefix, python_requirements(settings), settings.python.index_url, network}));
    add({"jupyter_config", {"service_user"}, Scope::instance, required, 1min, 3},
        std::make_unique<JupyterConfig>(
            ports,
            JupyterConfig::Wish{
                user, settings.jupyter.directory, Secret{settings.jupyter.password_hash}}));
    add({"front", {"tls_certificate", "jupyter_config"}, Scope::boot, required, 5min, 12},
        std::make_unique<Front>(ports, user, port, jupyter_reach(settings)));
    add({"jupyter_unit", {"python_packages", "jupyter_config"}, Scope::boot, required, 10min, 2},
        std::make_unique<JupyterUnit>(ports,
                                      user,
                                      jupyter_program(settings),
                                      fetching_environment(network),
                                      settings.jupyter.allow_sudo ? Sudo::allowed
                                                                  : Sudo::kept_out));
    add({"ready", {"front", "jupyter_unit"}, Scope::boot, required, 5min, 1},
        std::make_unique<Ready>(ports, port));
    return steps;
}

} // namespace agent
