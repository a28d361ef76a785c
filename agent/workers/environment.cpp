#include "agent/workers/environment.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <system_error>

#include <unistd.h>

namespace agent {
namespace {

namespace fs = std::filesystem;

std::string python_version(const fs::path& prefix) {
    const auto content = read_file(prefix / "pyvenv.cfg", 64 * 1024);
    if (!content || !*content)
        return {};
    for (const auto& line : split(**content, '\n')) {
        const auto equals = line.find('=');
        if (equals != std::string::npos && trim(line.substr(0, equals)) == "version")
            return std::string{trim(std::string_view{line}.substr(equals + 1))};
    }
    return {};
}

// The names of NAME-VERSION.dist-info (and .egg-info) directories say both; PyPA's "Recording
// installed projects" specification.
void add_packages(const fs::path& site_packages, Value::Object& packages) {
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator{site_packages, failure}) {
        const std::string name = entry.path().filename().string();
        const std::string extension = entry.path().extension().string();
        if (extension != ".dist-info" && extension != ".egg-info")
            continue;
        const std::string stem = name.substr(0, name.size() - extension.size());
        const auto dash = stem.find('-');
        if (dash == std::string::npos)
            continue;
        const std::string rest = stem.substr(dash + 1);
        packages.push_back({stem.substr(0, dash), rest.substr(0, rest.find('-')), {}});
    }
}

} // namespace

int environment_worker(const fs::path& prefix, std::ostream& out) {
    const bool exists = ::access((prefix / "bin/python").c_str(), X_OK) == 0;
    Value::Object packages;
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator{prefix / "lib", failure})
        if (entry.path().filename().string().starts_with("python"))
            add_packages(entry.path() / "site-packages", packages);
    out << write_json(Value::Object{{"exists", exists, {}},
                                    {"python", python_version(prefix), {}},
                                    {"packages", std::move(packages), {}}})
        << "\n";
    return 0;
}

} // namespace agent
