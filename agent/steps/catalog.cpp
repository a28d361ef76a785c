#include "agent/steps/catalog.hpp"

#include "agent/installers.hpp"
#include "agent/steps/apt_packages.hpp"
#include "agent/steps/apt_repositories.hpp"
#include "agent/steps/conda_packages.hpp"
#include "agent/steps/conda_prefix.hpp"
#include "agent/steps/conda_spec.hpp"
#include "agent/steps/disk_space.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/front.hpp"
#include "agent/steps/jupyter_config.hpp"
#include "agent/steps/jupyter_token.hpp"
#include "agent/steps/jupyter_unit.hpp"
#include "agent/steps/kernel.hpp"
#include "agent/steps/python.hpp"
#include "agent/steps/python_packages.hpp"
#include "agent/steps/ready.hpp"
#include "agent/steps/sequence.hpp"
#include "agent/steps/service_user.hpp"
#include "agent/steps/shell_setup.hpp"
#include "agent/steps/tls_certificate.hpp"

#include <algorithm>
#include <set>

namespace agent {
namespace {

using namespace std::chrono_literals;

std::string venv_package(const std::string& version) {
    return "python" + (version.empty() ? "3" : version) + "-venv";
}

std::vector<std::string> debian_packages(const Settings& settings) {
    auto packages = settings.apt.packages;
    if (settings.python.kind == PythonKind::venv)
        packages.push_back(venv_package(settings.python.version));
    return packages;
}

std::vector<std::string> with(std::vector<std::string> requirements, const std::string& needed) {
    if (std::none_of(requirements.begin(), requirements.end(), [&](const std::string& requirement) {
            return required_name(requirement) == needed;
        }))
        requirements.push_back(needed);
    return requirements;
}

std::vector<std::string> python_requirements(const Settings& settings) {
    return with(settings.python.packages, interface_package(settings));
}

Network network_of(const Settings& settings) {
    const auto& network = settings.network;
    return {network.proxy, network.no_proxy, network.ca_certificates};
}

// What pip or uv installs into one of the environments.
PythonPackages::Wish packages_for(const Settings& settings) {
    const auto& python = settings.python;
    PythonPackages::Wish wish{settings.machine.user,
                              python.prefix,
                              python_requirements(settings),
                              python.index_url,
                              network_of(settings)};
    wish.requirements_file = python.requirements.string();
    wish.constraints_file = python.constraints.string();
    for (const auto& index : python.indexes)
        wish.indexes.push_back({index.name, index.url, index.packages});
    return wish;
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

std::vector<AptRepositories::Repository> repositories_of(const Settings& settings) {
    std::vector<AptRepositories::Repository> repositories;
    for (const auto& one : settings.apt.repositories)
        repositories.push_back(
            {one.name, one.url, one.suite, one.components, one.key, one.keyring});
    return repositories;
}

// nullptr: another file than the one that is known.
const Installer* known_installer(const Settings::Python& python) {
    const Installer* known = installer_at(python.installer);
    return known && known->sha256 == python.sha256 ? known : nullptr;
}

std::string installer_name(const Settings::Python& python) {
    const Installer* known = known_installer(python);
    return known ? known->name : std::filesystem::path{python.installer}.filename().string();
}

std::optional<std::uint64_t> installer_bytes(const Settings::Python& python) {
    const Installer* known = known_installer(python);
    return known ? known->bytes : std::nullopt;
}

// A conda that brings no pip gets one: what is installed by pip needs it.
std::vector<std::string> with_pip(std::vector<std::string> specs) {
    if (std::none_of(specs.begin(), specs.end(), [](const std::string& spec) {
            return conda_name(spec) == "pip";
        }))
        specs.emplace_back("pip");
    return specs;
}

// Of a named environment; conda keeps its own below its prefix.
std::filesystem::path prefix_of(const Settings& settings,
                                const Settings::PythonEnvironment& environment) {
    const std::string prefix = settings.python.prefix.string();
    return prefix + (has_conda(settings.python.kind) ? "/envs/" : "-envs/") + environment.name;
}

CondaPackages::Wish conda_packages_for(const Settings& settings) {
    const auto& python = settings.python;
    return {"conda_packages",
            settings.machine.user,
            python.prefix,
            python.prefix,
            with_pip(python.conda_packages),
            python.channels,
            python.environment_file.string(),
            python.accept_terms ? Terms::accepted : Terms::not_accepted,
            network_of(settings)};
}

// Another of Debian's than Jupyter's environment has.
bool has_python_of_its_own(const Settings& settings,
                           const Settings::PythonEnvironment& environment) {
    return !has_conda(settings.python.kind) && !environment.version.empty() &&
           environment.version != settings.python.version;
}

std::string step_of(const Settings::PythonEnvironment& environment) {
    return "environment:" + environment.name;
}

std::vector<std::string> conda_specs_of(const Settings::PythonEnvironment& environment) {
    auto specs = with_pip(environment.conda_packages);
    // A Python that conda's own list names is the one that is meant.
    if (std::none_of(specs.begin(), specs.end(), [](const std::string& spec) {
            return conda_name(spec) == "python";
        }))
        specs.push_back(environment.version.empty() ? "python" : "python=" + environment.version);
    return specs;
}

std::vector<std::string> requirements_of(const Settings::PythonEnvironment& environment) {
    return with(environment.packages, "ipykernel");
}

// The Python of a named environment, and what else conda puts there.
std::unique_ptr<Guarantee> interpreter_of(const Settings& settings,
                                          const Settings::PythonEnvironment& environment,
                                          const StepPorts& ports) {
    const auto prefix = prefix_of(settings, environment);
    if (!has_conda(settings.python.kind))
        return std::make_unique<PythonVenv>(
            ports, settings.machine.user, prefix, environment.version);
    CondaPackages::Wish wish = conda_packages_for(settings);
    wish.step = step_of(environment);
    wish.environment = prefix;
    wish.environment_file = environment.environment_file.string();
    if (!environment.channels.empty())
        wish.channels = environment.channels;
    wish.packages = conda_specs_of(environment);
    return std::make_unique<CondaPackages>(ports, std::move(wish));
}

// The environment itself, its packages, its kernel in Jupyter.
std::unique_ptr<Guarantee> environment_of(const Settings& settings,
                                          const Settings::PythonEnvironment& environment,
                                          const StepPorts& ports) {
    const auto prefix = prefix_of(settings, environment);
    PythonPackages::Wish wish = packages_for(settings);
    wish.environment = environment.name;
    wish.prefix = prefix;
    wish.requirements = requirements_of(environment);
    wish.requirements_file = environment.requirements.string();
    wish.constraints_file = environment.constraints.string();
    std::vector<std::unique_ptr<Guarantee>> parts;
    parts.push_back(interpreter_of(settings, environment, ports));
    parts.push_back(std::make_unique<PythonPackages>(ports, std::move(wish)));
    parts.push_back(std::make_unique<Kernel>(
        ports,
        Kernel::Wish{settings.machine.user, environment.name, prefix, settings.python.prefix}));
    return std::make_unique<Sequence>(std::move(parts));
}

DiskSpace::Wish space_for(const Settings& settings, const MachineFacts* facts) {
    DiskSpace::Wish wish;
    wish.user = settings.machine.user;
    wish.debian_packages = debian_packages(settings);
    if (facts)
        wish.boot_disk = {facts->name, facts->zone}; // gcloud names it after the instance
    const auto& python = settings.python;
    if (python.kind == PythonKind::none)
        return wish;
    const bool conda = has_conda(python.kind);
    if (conda) {
        constexpr std::uint64_t megabyte = 1'000'000;
        const bool all = python.kind == PythonKind::anaconda;
        wish.conda_installer = installer_bytes(python).value_or((all ? 500 : 110) * megabyte);
    }
    wish.environments.push_back(
        {python.prefix,
         python_requirements(settings),
         python.requirements,
         conda ? with_pip(python.conda_packages) : std::vector<std::string>{},
         {},
         python.version});
    for (const auto& one : python.environments) {
        if (has_python_of_its_own(settings, one))
            wish.debian_packages.push_back(venv_package(one.version));
        wish.environments.push_back({prefix_of(settings, one),
                                     requirements_of(one),
                                     one.requirements,
                                     conda ? conda_specs_of(one) : std::vector<std::string>{},
                                     one.name,
                                     // Conda's newest is not what its installer brings.
                                     conda && one.version.empty() ? "newest" : one.version});
    }
    return wish;
}

} // namespace

std::string interface_package(const Settings& settings) {
    return settings.jupyter.interface == JupyterInterface::lab ? "jupyterlab" : "notebook";
}

std::map<std::string, std::string> network_environment(const Settings& settings) {
    return fetching_environment(network_of(settings));
}

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
    add({"apt_repositories", {"disk_space"}, Scope::image, required, 15min, 12},
        std::make_unique<AptRepositories>(ports, repositories_of(settings), network));
    add({"apt_packages", {"disk_space", "apt_repositories"}, Scope::image, required, 30min, 12},
        std::make_unique<AptPackages>(ports, debian_packages(settings), network));
    add({"tls_certificate", {}, Scope::instance, required, 2min, 3},
        std::make_unique<TlsCertificate>(ports, common_name, certificate_names(settings, facts)));
    if (settings.python.kind == PythonKind::none)
        return steps;

    std::vector<std::string> environment{"python"};
    if (has_conda(settings.python.kind)) {
        const auto& python = settings.python;
        // It brings all it needs, and comes while apt is at work.
        add({"python", {"service_user", "disk_space"}, Scope::image, required, 60min, 5},
            std::make_unique<CondaPrefix>(ports,
                                          CondaPrefix::Wish{user,
                                                            prefix,
                                                            installer_name(python),
                                                            python.installer,
                                                            python.sha256,
                                                            installer_bytes(python),
                                                            network}));
        add({"conda_packages", {"python"}, Scope::image, required, 60min, 5},
            std::make_unique<CondaPackages>(ports, conda_packages_for(settings)));
        // What pip builds may need a library of Debian's.
        environment = {"conda_packages", "apt_packages"};
        // Jupyter does not ask a shell.
        add({"shell_setup", {"python"}, Scope::image, Importance::optional, 5min, 3},
            std::make_unique<ShellSetup>(ports, user, prefix));
    } else {
        add({"python", {"service_user", "apt_packages"}, Scope::image, required, 10min, 3},
            std::make_unique<PythonVenv>(ports, user, prefix, settings.python.version));
    }
    add({"python_packages", environment, Scope::image, required, 60min, 5},
        std::make_unique<PythonPackages>(ports, packages_for(settings)));
    // Jupyter is there without them, and each without the others.
    std::set<std::string> versions;
    for (const auto& one : settings.python.environments) {
        std::vector<std::string> needs = environment;
        if (has_python_of_its_own(settings, one)) {
            needs.push_back("system_python:" + one.version);
            if (versions.insert(one.version).second)
                add({needs.back(), {"apt_packages"}, Scope::image, Importance::optional, 30min, 5},
                    std::make_unique<AptPackages>(
                        ports, std::vector<std::string>{venv_package(one.version)}, network));
        }
        add({step_of(one), std::move(needs), Scope::image, Importance::optional, 60min, 5},
            environment_of(settings, one, ports));
    }
    add({"jupyter_token", {}, Scope::instance, required, 1min, 3},
        std::make_unique<JupyterToken>(ports));
    // After the packages: which Jupyter it is decides in which terms it is configured.
    add({"jupyter_config",
         {"service_user", "jupyter_token", "python_packages"},
         Scope::instance,
         required,
         1min,
         3},
        std::make_unique<JupyterConfig>(ports,
                                        JupyterConfig::Wish{user,
                                                            settings.jupyter.directory,
                                                            Secret{settings.jupyter.password_hash},
                                                            prefix,
                                                            interface_package(settings)}));
    add({"front",
         {"service_user", "tls_certificate", "jupyter_token"},
         Scope::boot,
         required,
         5min,
         12},
        std::make_unique<Front>(ports, user, port, jupyter_reach(settings)));
    add({"jupyter_unit", {"python_packages", "jupyter_config"}, Scope::boot, required, 10min, 2},
        std::make_unique<JupyterUnit>(ports,
                                      user,
                                      jupyter_program(settings),
                                      network_environment(settings),
                                      settings.jupyter.allow_sudo ? Sudo::allowed
                                                                  : Sudo::kept_out));
    add({"ready", {"front", "jupyter_unit"}, Scope::boot, required, 5min, 1},
        std::make_unique<Ready>(ports, port));
    return steps;
}

} // namespace agent
