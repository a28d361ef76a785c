#include "agent/steps/apt_packages.hpp"

#include "agent/base/text.hpp"
#include "agent/steps/apt.hpp"

#include <algorithm>

namespace agent {

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
    const auto absent = co_await absent_packages(context, packages_);
    if (!absent)
        co_return absent.error();
    if (absent->empty())
        co_return StepCheck::yes();
    co_return StepCheck::due("not installed: " + join(*absent, " "));
}

boost::asio::awaitable<Result<void>> AptPackages::apply(StepContext& context) {
    if (auto readable = certificates_are_readable(ports_.root, network_); !readable)
        co_return readable;
    context.progress("fetching the package lists");
    std::vector<std::string> no_options;
    auto updated = co_await update_lists(context, ports_.clock, network_, std::move(no_options));
    if (!updated)
        co_return updated.error();
    if (!updated->succeeded()) {
        Error error = apt_error(*updated);
        error.kind = ErrorKind::transient;
        co_return agent::context(std::move(error), "fetching the package lists");
    }
    context.progress("installing " + std::to_string(packages_.size()) + " packages");
    co_return co_await install_packages(context, ports_.clock, network_, packages_);
}

} // namespace agent
