#include "agent/commands/check.hpp"

#include "agent/ports/documents.hpp"
#include "agent/settings_sources.hpp"

#include <algorithm>
#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

namespace agent {
namespace {

std::string counted(std::size_t number, std::string_view what) {
    return std::to_string(number) + " " + std::string{what} + (number == 1 ? "" : "s");
}

std::string outcome_of(const Settings& settings) {
    std::string text = "user " + settings.machine.user + ", ";
    if (has_conda(settings.python.kind)) {
        text +=
            std::string{settings.python.kind == PythonKind::anaconda ? "Anaconda" : "Miniforge"} +
            " with ";
        if (const std::size_t number = settings.python.conda_packages.size(); number > 0)
            text += counted(number, "conda package") + " and ";
    }
    if (settings.python.kind != PythonKind::none)
        text += counted(settings.python.packages.size(), "Python package") + " in " +
                settings.python.prefix.string() + ", ";
    else
        text += "no Python environment, ";
    if (!settings.apt.packages.empty())
        text += counted(settings.apt.packages.size(), "apt package") + ", ";
    if (const std::size_t number = settings.apt.repositories.size(); number > 0)
        text +=
            std::to_string(number) + (number == 1 ? " apt repository, " : " apt repositories, ");
    const bool lab = settings.jupyter.interface == JupyterInterface::lab;
    text += std::string{lab ? "JupyterLab" : "Jupyter Notebook"} + " on port " +
            std::to_string(settings.jupyter.port);
    return text + (settings.jupyter.password_hash.empty()
                       ? " (no password_hash: reached only from the VM itself)"
                       : " (password set)");
}

struct Checked {
    ConfigSource source;
    Configuration read;
};

void print(const Checked& checked, std::ostream& out, std::ostream& err, Colours colours) {
    const auto& diagnostics = checked.read.diagnostics;
    for (const Diagnostic& diagnostic : diagnostics)
        err << render(diagnostic, {&checked.source, 1}, colours) << "\n";
    if (checked.read.is_valid()) {
        out << checked.source.name << ": valid\n  " << outcome_of(checked.read.settings) << "\n";
        return;
    }
    const auto errors = std::count_if(diagnostics.begin(), diagnostics.end(), [](const auto& one) {
        return one.severity == Severity::error;
    });
    err << checked.source.name << ": " << counted(static_cast<std::size_t>(errors), "error")
        << "\n";
}

Value to_value(const Checked& checked) {
    Value::Array diagnostics;
    for (const Diagnostic& diagnostic : checked.read.diagnostics)
        diagnostics.push_back(to_value(diagnostic));
    return Value{Value::Object{{"file", checked.source.name, {}},
                               {"valid", checked.read.is_valid(), {}},
                               {"diagnostics", std::move(diagnostics), {}}}};
}

} // namespace

int check_command(const CheckOptions& options, std::ostream& out, std::ostream& err) {
    bool all_valid = true;
    Value::Array told;
    for (const auto& file : options.files) {
        Checked checked{load_config_file(file, file.string(), Trust::any_file), {}};
        checked.read = read_configuration({&checked.source, 1});
        all_valid = checked.read.is_valid() && all_valid;
        if (options.json)
            told.push_back(to_value(checked));
        else
            print(checked, out, err, options.colours);
    }
    if (options.json)
        out << write_json(Value{std::move(told)}) << "\n";
    return all_valid ? 0 : 1;
}

} // namespace agent
