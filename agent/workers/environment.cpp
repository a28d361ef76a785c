#include "agent/workers/environment.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/documents.hpp"

#include <algorithm>
#include <string_view>
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

// The names of conda-meta/NAME-VERSION-BUILD.json say all of it; neither version nor build has a
// dash.
void add_conda_packages(const fs::path& prefix, Value::Object& packages) {
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator{prefix / "conda-meta", failure}) {
        if (entry.path().extension() != ".json")
            continue;
        const std::string stem = entry.path().stem().string();
        const auto build = stem.rfind('-');
        if (build == std::string::npos || build == 0)
            continue;
        const auto version = stem.rfind('-', build - 1);
        if (version == std::string::npos || version == 0)
            continue;
        packages.push_back(
            {stem.substr(0, version), stem.substr(version + 1, build - version - 1), {}});
    }
}

std::string version_in(const Value::Object& packages, std::string_view name) {
    const auto found = std::find_if(
        packages.begin(), packages.end(), [&](const auto& one) { return one.key == name; });
    return found == packages.end() ? std::string{} : *found->value.as_string();
}

// What a kernel of Jupyter's starts: kernel.json's argv[0].
void add_kernels(const fs::path& prefix, Value::Object& kernels) {
    constexpr std::size_t largest = std::size_t{64} * 1024;
    std::error_code failure;
    for (const auto& entry : fs::directory_iterator{prefix / "share/jupyter/kernels", failure}) {
        const auto content = read_file(entry.path() / "kernel.json", largest);
        if (!content || !*content)
            continue;
        const auto spec = parse_json(**content);
        const Value* argv = spec ? spec->find("argv") : nullptr;
        const bool has_program = argv && argv->as_array() && !argv->as_array()->empty();
        if (const auto* program = has_program ? argv->as_array()->front().as_string() : nullptr)
            kernels.push_back({entry.path().filename().string(), *program, {}});
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
    Value::Object kernels;
    add_kernels(prefix, kernels);
    Value::Object conda;
    add_conda_packages(prefix, conda);
    const bool is_venv = fs::exists(prefix / "pyvenv.cfg", failure);
    const bool has_conda = ::access((prefix / "bin/conda").c_str(), X_OK) == 0;
    const std::string version = is_venv ? python_version(prefix) : version_in(conda, "python");
    out << write_json(Value::Object{{"exists", exists, {}},
                                    {"python", version, {}},
                                    {"packages", std::move(packages), {}},
                                    {"venv", is_venv, {}},
                                    {"has_conda", has_conda, {}},
                                    {"conda", std::move(conda), {}},
                                    {"kernels", std::move(kernels), {}}})
        << "\n";
    return 0;
}

} // namespace agent
