#include "agent/commands/check.hpp"

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
    if (settings.python.kind == PythonKind::venv)
        text += counted(settings.python.packages.size(), "Python package") + " in " +
                settings.python.prefix.string() + ", ";
    else
        text += "no Python environment, ";
    if (!settings.apt.packages.empty())
        text += counted(settings.apt.packages.size(), "apt package") + ", ";
    const bool lab = settings.jupyter.interface == JupyterInterface::lab;
    text += std::string{lab ? "JupyterLab" : "Jupyter Notebook"} + " on port " +
            std::to_string(settings.jupyter.port);
    return text + (settings.jupyter.password_hash.empty()
                       ? " (no password_hash: reached only from the VM itself)"
                       : " (password set)");
}

bool check(const std::filesystem::path& file,
           std::ostream& out,
           std::ostream& err,
           Colours colours) {
    const auto source = load_config_file(file, file.string(), Trust::any_file);
    if (!source) {
        err << "error: " << source.error().message << "\n";
        if (!source.error().next.empty())
            err << "  = hint: " << source.error().next << "\n";
        return false;
    }
    const std::span<const ConfigSource> sources{&*source, 1};
    const auto read = read_settings(sources);
    if (const auto* settings = std::get_if<Settings>(&read)) {
        out << source->name << ": valid\n  " << outcome_of(*settings) << "\n";
        return true;
    }
    const auto& errors = std::get<ConfigErrors>(read);
    for (const Diagnostic& diagnostic : errors.diagnostics)
        err << render(diagnostic, sources, colours) << "\n";
    err << source->name << ": " << counted(errors.diagnostics.size(), "error") << "\n";
    return false;
}

} // namespace

int check_command(const std::vector<std::filesystem::path>& files,
                  std::ostream& out,
                  std::ostream& err,
                  Colours colours) {
    bool all_valid = true;
    for (const auto& file : files)
        all_valid = check(file, out, err, colours) && all_valid;
    return all_valid ? 0 : 1;
}

} // namespace agent
