#include "agent/steps/apt_packages.hpp"

#include "agent/base/text.hpp"
#include "agent/steps/apt.hpp"

#include <algorithm>
#include <utility>

namespace agent {
namespace {

bool is_pinned(const std::string& package) {
    return package.find('=') != std::string::npos;
}

std::string name_of(const std::string& package) {
    return package.substr(0, package.find('='));
}

std::vector<std::string> names_of_pinned(const std::vector<std::string>& packages) {
    std::vector<std::string> names;
    for (const auto& package : packages)
        if (is_pinned(package))
            names.push_back(name_of(package));
    return names;
}

bool contains(const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

} // namespace

AptPackages::AptPackages(StepPorts ports, std::vector<std::string> packages, Network network)
    : ports_{std::move(ports)}, packages_{std::move(packages)}, network_{std::move(network)} {
    std::sort(packages_.begin(), packages_.end());
    packages_.erase(std::unique(packages_.begin(), packages_.end()), packages_.end());
}

std::string AptPackages::fingerprint() const {
    return join(packages_, " ");
}

boost::asio::awaitable<Result<StepCheck>> AptPackages::check(StepContext& context) {
    if (packages_.empty())
        co_return StepCheck::yes("none asked for");
    const auto there = co_await packages_there(context, packages_);
    if (!there)
        co_return there.error();
    auto missing = there->absent;
    std::vector<std::string> deviating;
    const auto in_no_version = co_await absent_packages(context, names_of_pinned(missing));
    if (!in_no_version)
        co_return in_no_version.error();
    std::erase_if(missing, [&](const std::string& package) {
        const bool other_version =
            is_pinned(package) && !contains(*in_no_version, name_of(package));
        if (other_version)
            deviating.push_back(package);
        return other_version;
    });
    const auto to_change = pins_.due(context, fingerprint(), deviating);
    downgrades_ = to_change.empty() ? Downgrades::refused : Downgrades::allowed;
    missing.insert(missing.end(), to_change.begin(), to_change.end());
    if (missing.empty()) {
        std::vector<std::string> said = there->renamed;
        if (std::string left_alone = pins_.report("apt_packages"); !left_alone.empty())
            said.push_back(std::move(left_alone));
        co_return StepCheck::yes(printable(join(said, "; "), 600));
    }
    co_return StepCheck::due("not installed: " + join(missing, " "));
}

boost::asio::awaitable<Result<void>> AptPackages::apply(StepContext& context) {
    if (auto readable = certificates_are_readable(ports_.root, network_); !readable)
        co_return readable;
    context.progress("fetching the package lists");
    std::vector<std::string> no_options;
    auto updated = co_await update_lists(context, ports_, network_, std::move(no_options));
    if (!updated)
        co_return updated.error();
    if (!updated->succeeded()) {
        Error error = apt_error(*updated);
        error.kind = ErrorKind::transient;
        co_return with_network_state(agent::context(std::move(error), "fetching the package lists"),
                                     ports_.root);
    }
    const std::string not_fetched = lists_problem(*updated);
    auto named = co_await in_names_of_release(context, pins_.to_install(packages_));
    if (!named)
        co_return named.error();
    for (const auto& renamed : named->renamed)
        context.log("this release has " + renamed);
    auto packages = std::move(named->packages);
    context.progress("installing " + std::to_string(packages.size()) +
                     (packages.size() == 1 ? " package" : " packages"));
    auto installed =
        co_await install_packages(context, ports_, network_, std::move(packages), downgrades_);
    if (!installed && !not_fetched.empty()) {
        // On whole lists it might have been another answer.
        Error error = installed.error();
        error.kind = ErrorKind::transient;
        error.message =
            "not all package lists could be fetched: " + not_fetched + "; so " + error.message;
        error.next = "check the network, DNS and [network] proxy; `agent retry` tries again";
        co_return with_network_state(std::move(error), ports_.root);
    }
    if (!installed && !named->pinned.empty()) {
        Error error = installed.error();
        error.next = join(named->pinned, "; ") + ": ask for that name in [apt] packages";
        co_return error;
    }
    if (!installed)
        co_return with_network_state(installed.error(), ports_.root);
    co_return installed;
}

} // namespace agent
