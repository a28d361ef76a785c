#include "agent/steps/python_packages.hpp"

#include "agent/base/python_marker.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/bucket.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/distutils.hpp"
#include "agent/steps/environment.hpp"
#include "agent/steps/install_progress.hpp"
#include "agent/steps/scratch.hpp"
#include "agent/steps/uv_tool.hpp"
#include "agent/steps/wrong_clock.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <set>
#include <utility>

#include <unistd.h>

namespace agent {
namespace {

using namespace std::chrono_literals;

constexpr const char* system_ca_bundle = "/etc/ssl/certs/ca-certificates.crt";

constexpr int most_set_aside = 20; // packages of distutils in one run

bool is_range(const std::string& requirement) {
    return split_marker(requirement).first.find_first_of("<>~!,*") != std::string_view::npos;
}

// What is mistyped most, so that the nearest can be named: the field's popular names.
constexpr std::array<std::string_view, 40> popular{
    "altair",        "beautifulsoup4", "bokeh",
    "catboost",      "dask",           "fastai",
    "flask",         "gensim",         "h2o",
    "ipykernel",     "ipywidgets",     "jupyter",
    "jupyterlab",    "keras",          "lightgbm",
    "matplotlib",    "networkx",       "nltk",
    "notebook",      "numba",          "numpy",
    "opencv-python", "openpyxl",       "optuna",
    "pandas",        "pillow",         "plotly",
    "polars",        "pyarrow",        "requests",
    "scikit-image",  "scikit-learn",   "scikit-optimize",
    "scipy",         "seaborn",        "spacy",
    "sqlalchemy",    "statsmodels",    "tensorflow",
    "transformers"};

// uv draws its sentences with boxes and arrows, over several lines.
std::string without_drawing(std::string_view text) {
    std::string out;
    for (const auto& line : split(text, '\n')) {
        std::string_view rest = trim(line);
        for (const std::string_view mark : {"╰─▶", "├─▶", "×", "│", "cause: "})
            if (rest.starts_with(mark))
                rest = trim(rest.substr(mark.size()));
        if (!rest.empty())
            out += (out.empty() ? "" : " ") + std::string{rest};
    }
    return out;
}

// What comes before the cause is what the installer was doing, which the log keeps.
std::string from_cause(std::string text) {
    for (const std::string_view opening : {"Because ", "Hash mismatch for ", "ERROR: ", "error: "})
        if (const auto at = text.find(opening); at != std::string::npos)
            return text.substr(at);
    return text;
}

} // namespace

PythonPackages::PythonPackages(StepPorts ports, Wish wish)
    : ports_{std::move(ports)}, wish_{std::move(wish)},
      work_{WorkMark::beside(ports_.root, wish_.prefix, "python_packages")},
      requirements_object_{BucketFile::at(
          ports_, wish_.requirements_file, {step_id(), "requirements.txt"}, wish_.network)},
      constraints_object_{BucketFile::at(
          ports_, wish_.constraints_file, {step_id(), "constraints.txt"}, wish_.network)} {}

std::string PythonPackages::fingerprint() const {
    auto sorted = wish_.requirements;
    std::sort(sorted.begin(), sorted.end());
    std::string all = wish_.prefix.string() + "\n" + wish_.index_url + "\n" + join(sorted, "\n");
    for (const RequirementsFile* file : {&file_, &constraints_})
        if (!file->place.empty())
            all += "\n" + file->place + " " + file->sha256;
    for (const Index& index : wish_.indexes)
        all += "\n" + index.url + " " + join(index.packages, " ");
    return sha256_hex(all);
}

std::string PythonPackages::step_id() const {
    return wish_.environment.empty() ? "python_packages" : "environment:" + wish_.environment;
}

std::filesystem::path PythonPackages::runtime_file(std::string_view name) const {
    const std::string whose = wish_.environment.empty() ? "" : wish_.environment + "-";
    return ports_.root / (std::string{layout::runtime_directory} + "/" + whose + std::string{name});
}

std::vector<std::string> PythonPackages::all_requirements() const {
    auto all = wish_.requirements;
    for (const auto& entry : file_.entries)
        if (std::find(all.begin(), all.end(), entry.requirement) == all.end())
            all.push_back(entry.requirement);
    return all;
}

boost::asio::awaitable<Result<RequirementsFile>>
PythonPackages::read_object(StepContext& context, Account user, BucketFile& object, For purpose) {
    Result<std::string> text = transient("not read");
    if (purpose == For::an_installation)
        text = co_await object.take(context, user);
    else
        text = co_await object.look(context, user);
    if (!text)
        co_return text.error();
    auto file =
        co_await look_at_requirements(context, std::move(user), object.place(), std::move(*text));
    if (file)
        file->path = object.copy();
    co_return file;
}

boost::asio::awaitable<Result<void>>
PythonPackages::read_files(StepContext& context, Account user, For purpose) {
    Result<RequirementsFile> file = transient("not read");
    if (requirements_object_)
        file = co_await read_object(context, user, *requirements_object_, purpose);
    else
        file = co_await look_at_requirements(context, user, wish_.requirements_file);
    if (!file)
        co_return agent::context(file.error(), "[python] requirements");
    file_ = std::move(*file);
    Result<RequirementsFile> constraints = transient("not read");
    if (constraints_object_)
        constraints = co_await read_object(context, user, *constraints_object_, purpose);
    else
        constraints = co_await look_at_constraints(context, user, wish_.constraints_file);
    if (!constraints)
        co_return agent::context(constraints.error(), "[python] constraints");
    constraints_ = std::move(*constraints);
    co_return Result<void>{};
}

boost::asio::awaitable<Result<StepCheck>> PythonPackages::check(StepContext& context) {
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    if (auto read = co_await read_files(context, *user, For::a_look); !read) {
        // A bucket that does not answer yet is asked again by who installs.
        if (read.error().kind == ErrorKind::transient &&
            (requirements_object_ || constraints_object_))
            co_return StepCheck::due(read.error().message);
        co_return read.error();
    }
    auto environment = co_await look_at_environment(context, *user, wish_.prefix);
    if (!environment)
        co_return environment.error();
    python_ = environment->python;
    const auto requirements = all_requirements();
    const auto missing = pins_.missing(
        context, fingerprint(), unmet(requirements, *environment), [&](const std::string& one) {
            return environment->packages.contains(required_name(one));
        });
    if (!missing.empty())
        co_return StepCheck::due("not installed: " + printable(join(missing, " "), 200));
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    if (*cut_short)
        co_return StepCheck::due("an installation was cut short: packages may be incomplete");
    for (const auto* object : {&requirements_object_, &constraints_object_})
        if (*object && !(*object)->is_kept())
            co_return StepCheck::due((*object)->place() + " is another than was installed last");
    const bool ranges = !constraints_.entries.empty() || !file_.constraints.empty() ||
                        std::any_of(requirements.begin(), requirements.end(), is_range);
    const auto last = context.last_fingerprint();
    if (ranges && last && *last != fingerprint())
        co_return StepCheck::due("the versions asked for changed");
    std::vector<std::string> found{std::to_string(environment->packages.size()) + " packages"};
    found.insert(found.end(), notes_.begin(), notes_.end());
    for (const auto* object : {&requirements_object_, &constraints_object_})
        if (*object && !(*object)->note().empty())
            found.push_back((*object)->note());
    if (std::string left_alone = pins_.report(step_id()); !left_alone.empty())
        found.push_back(std::move(left_alone));
    co_return StepCheck::yes(join(found, "; "));
}

boost::asio::awaitable<Result<std::filesystem::path>> PythonPackages::uv(StepContext& context,
                                                                         Account user) {
    constexpr int oldest = 8;
    const auto parts = split(python_, '.');
    if (parts.size() > 1 && parts[0] == "3" && parts[1].size() == 1 && parts[1][0] - '0' < oldest)
        co_return permanent("uv needs Python 3.8 or newer, and this is " + printable(python_, 20));
    std::string step = step_id();
    std::replace(step.begin(), step.end(), ':', '-');
    co_return co_await provide_uv(
        context, ports_, step, std::move(user), wish_.prefix, wish_.index_url, wish_.network);
}

boost::asio::awaitable<Result<std::map<std::string, std::string>>> PythonPackages::uv_variables(
    StepContext& context, Account user, std::filesystem::path uv, Present present) {
    Command ask;
    ask.argv = {(wish_.prefix / "bin/python").string(), "-I", "-m", "pip", "config", "list"};
    ask.as = user;
    ask.on_line = [](std::string_view) {}; // may hold credentials
    auto outcome = co_await context.run(std::move(ask));
    if (!outcome)
        co_return outcome.error();
    auto environment = uv_environment(outcome->output);
    if (!environment)
        co_return environment.error();
    if (present == Present::torn) {
        Command empty;
        empty.argv = {uv.string(), "cache", "clean"};
        empty.as = user;
        empty.environment = *environment;
        empty.deadline = 20min; // it waits for another environment's installation
        auto ended = co_await context.run(std::move(empty));
        if (!ended)
            co_return ended.error();
        auto emptied = require_success(std::move(*ended));
        if (!emptied)
            co_return agent::context(emptied.error(), "emptying uv's cache");
    }
    (*environment)["UV_PYTHON_DOWNLOADS"] = "never";
    (*environment)["UV_SYSTEM_CERTS"] = "1";
    if (::access(system_ca_bundle, R_OK) == 0)
        (*environment)["SSL_CERT_FILE"] = system_ca_bundle;
    if (!wish_.index_url.empty())
        (*environment)["UV_DEFAULT_INDEX"] = wish_.index_url;
    for (const auto& [name, value] : fetching_environment(wish_.network))
        (*environment)[name] = value;
    co_return environment;
}

Result<PythonPackages::Sources>
PythonPackages::write_sources(std::map<std::string, std::string> wheels) {
    const auto write = [&](const std::filesystem::path& place,
                           const std::vector<std::string>& lines) {
        return durable_write(
            place, join(lines, "\n") + "\n", {.mode = 0644}, Durability::ephemeral);
    };
    // pip takes a wheel for a name only where the entry says so.
    const auto from_wheel = [&](const std::string& requirement) {
        const auto [text, marker] = split_marker(requirement);
        const auto wheel = wheels.find(required_name(text));
        if (wheel == wheels.end())
            return requirement;
        const auto name = text.substr(0, text.find_first_of("<>=!~ "));
        return std::string{name} + " @ file://" + wheel->second +
               (marker.empty() ? "" : " ; " + std::string{marker});
    };
    Sources sources;
    std::set<std::string, std::less<>> locked;
    std::vector<std::string> of_file;
    for (const auto& entry : file_.entries) {
        if (file_.is_hashed)
            locked.insert(required_name(entry.requirement));
        if (!pins_.to_install({entry.requirement}).empty())
            of_file.push_back(file_.is_hashed ? entry.text : from_wheel(entry.text));
    }
    std::vector<std::string> list;
    std::vector<std::string> without_hash;
    for (const std::string& requirement : pins_.to_install(wish_.requirements)) {
        if (locked.contains(required_name(requirement)))
            continue; // its version is the lock file's
        list.push_back(from_wheel(requirement));
        if (file_.is_hashed)
            without_hash.push_back(required_name(requirement));
    }
    sources.all_hashed = file_.is_hashed && list.empty();
    if (!without_hash.empty())
        notes_.push_back("not in the lock file, so without a hash: " +
                         printable(join(without_hash, " "), 100));
    if (!list.empty()) {
        sources.list = runtime_file("requirements.txt").string();
        if (auto written = write(sources.list, list); !written)
            return written.error();
    }
    if (of_file.size() == file_.entries.size() && wheels.empty()) {
        sources.file = file_.path.string();
    } else if (!of_file.empty()) {
        for (const auto& included : file_.constraints)
            of_file.push_back("-c " + included.string());
        sources.file = runtime_file("requirements-of-file.txt").string();
        if (auto written = write(sources.file, of_file); !written)
            return written.error();
    }
    return sources;
}

// uv asks an index that is `explicit` only for what a project's sources tie to it; what it reads of
// them stands in a pyproject.toml alone.
Result<void> PythonPackages::tie_indexes(Sources& sources) const {
    std::set<std::string, std::less<>> wanted;
    for (const std::string& requirement : pins_.to_install(all_requirements()))
        wanted.insert(required_name(requirement));
    std::string dependencies;
    std::string indexes;
    std::string ties;
    for (const Index& index : wish_.indexes) {
        indexes += "[[tool.uv.index]]\nname = \"" + index.name + "\"\nurl = \"" + index.url +
                   "\"\nexplicit = true\n";
        for (const std::string& package : index.packages) {
            if (!wanted.contains(package))
                continue;
            dependencies += (dependencies.empty() ? "\"" : ", \"") + package + "\"";
            ties += package + " = { index = \"" + index.name + "\" }\n";
        }
    }
    if (dependencies.empty())
        return {};
    const auto directory = runtime_file("indexes");
    if (auto made = ensure_directory(directory, {.mode = 0755}); !made)
        return made;
    sources.indexes = (directory / "pyproject.toml").string();
    return durable_write(sources.indexes,
                         "[project]\nname = \"agent-environment\"\nversion = \"0\"\n"
                         "dependencies = [" +
                             dependencies + "]\n" + indexes + "[tool.uv.sources]\n" + ties,
                         {.mode = 0644},
                         Durability::ephemeral);
}

Command PythonPackages::uv_command(const std::filesystem::path& uv,
                                   const Sources& sources,
                                   Present present) const {
    Command command;
    command.argv = {uv.string(),
                    "pip",
                    "install",
                    "--no-progress",
                    "--python",
                    (wish_.prefix / "bin/python").string()};
    for (const std::string& file : {sources.list, sources.file, sources.indexes})
        if (!file.empty())
            command.argv.insert(command.argv.end(), {"--requirements", file});
    if (sources.all_hashed)
        command.argv.emplace_back("--require-hashes");
    else if (!constraints_.path.empty())
        command.argv.insert(command.argv.end(), {"--constraints", constraints_.path.string()});
    if (present == Present::torn)
        command.argv.emplace_back("--reinstall");
    return command;
}

Command PythonPackages::pip(std::string_view verb) const {
    Command command;
    command.argv = {(wish_.prefix / "bin/python").string(),
                    "-I",
                    "-m",
                    "pip",
                    std::string{verb},
                    "--disable-pip-version-check",
                    "--no-input",
                    "--progress-bar=off"};
    command.environment = fetching_environment(wish_.network);
    return command;
}

std::vector<Command> PythonPackages::pip_commands(const Sources& sources, Present present) const {
    const auto installing = [&](const std::vector<std::string>& files) {
        Command command = pip("install");
        for (const std::string& file : files)
            if (!file.empty())
                command.argv.insert(command.argv.end(), {"--requirement", file});
        if (present == Present::torn)
            command.argv.insert(command.argv.end(), {"--ignore-installed", "--no-cache-dir"});
        if (!wish_.index_url.empty())
            command.argv.push_back("--index-url=" + wish_.index_url);
        return command;
    };
    if (!file_.is_hashed) {
        Command all = installing({sources.list, sources.file});
        if (!constraints_.path.empty())
            all.argv.insert(all.argv.end(), {"--constraint", constraints_.path.string()});
        return {all};
    }
    // One hash, and pip wants one for everything: what has none is installed on its own, and may
    // not change what has.
    std::vector<Command> commands;
    if (!sources.file.empty()) {
        commands.push_back(installing({sources.file}));
        commands.back().argv.emplace_back("--require-hashes");
        if (!sources.wheels.empty())
            commands.back().argv.push_back("--find-links=" + sources.wheels);
    }
    if (!sources.list.empty()) {
        commands.push_back(installing({sources.list}));
        commands.back().argv.insert(commands.back().argv.end(),
                                    {"--constraint", runtime_file("locked.txt").string()});
    }
    return commands;
}

boost::asio::awaitable<Result<std::map<std::string, std::string>>>
PythonPackages::fetch_tied(StepContext& context, Account user, std::string directory) {
    std::map<std::string, std::string> wheels;
    const auto wanted = pins_.to_install(all_requirements());
    for (const Index& index : wish_.indexes) {
        Command command = pip("download");
        command.argv.insert(command.argv.end(),
                            {"--no-deps", "--only-binary=:all:", "--dest", directory});
        command.argv.push_back("--index-url=" + index.url);
        std::size_t asked = 0;
        for (const std::string& requirement : wanted) {
            const auto text = split_marker(requirement).first;
            if (std::find(index.packages.begin(), index.packages.end(), required_name(text)) ==
                index.packages.end())
                continue;
            command.argv.emplace_back(text);
            ++asked;
        }
        if (asked == 0)
            continue;
        context.progress("fetching from the index " + index.name);
        command.environment["TMPDIR"] = directory;
        command.as = user;
        command.deadline = 30min;
        auto outcome = co_await context.run(std::move(command));
        if (!outcome)
            co_return outcome.error();
        if (!outcome->succeeded())
            co_return agent::context(installer_error(*outcome),
                                     "fetching from the index " + index.name);
        // "  Saved ./torch-2.1.0+cpu-cp37-cp37m-linux_x86_64.whl", also "Saved /…".
        for (const std::string& line : split(outcome->output, '\n')) {
            constexpr std::string_view saved = "Saved ";
            const std::string_view text = trim(line);
            if (!text.starts_with(saved))
                continue;
            const std::string name =
                std::filesystem::path{text.substr(saved.size())}.filename().string();
            wheels[required_name(name.substr(0, name.find('-')))] = directory + "/" + name;
        }
    }
    co_return wheels;
}

boost::asio::awaitable<Result<CommandOutcome>>
PythonPackages::install(StepContext& context, Account user, Command command) {
    for (int set_aside = 0;; ++set_aside) {
        InstallProgress progress;
        std::string words;
        Command once = command;
        once.as = user;
        once.deadline = 1h;
        once.on_line = [&](std::string_view line) {
            if (words.empty() && distutils_package_in(line))
                words = line;
            const auto phrase = progress.heard(line);
            if (!phrase || *phrase != trim(line))
                context.log(line);
            if (phrase)
                context.progress(*phrase);
        };
        auto outcome = co_await context.run(std::move(once));
        if (!outcome || outcome->succeeded())
            co_return outcome;
        auto package = distutils_package_in(words);
        if (!package)
            package = distutils_package_in(outcome->error_tail);
        if (!package || set_aside == most_set_aside)
            co_return outcome;
        auto moved = co_await set_distutils_package_aside(context, user, wish_.prefix, *package);
        if (!moved)
            co_return moved.error();
        const std::string note = "replaced " + *moved +
                                 ", which distutils had installed; it lies in " +
                                 (wish_.prefix / ".replaced").string() + " now";
        context.log(note);
        notes_.push_back(note);
    }
}

boost::asio::awaitable<Result<void>> PythonPackages::apply(StepContext& context) {
    co_await await_right_clock(context, ports_.clock); // else no server's certificate is valid
    auto user = co_await existing_account(ports_.accounts, wish_.user);
    if (!user)
        co_return user.error();
    if (auto readable = certificates_are_readable(ports_.root, wish_.network); !readable)
        co_return readable;
    if (auto read = co_await read_files(context, *user, For::an_installation); !read)
        co_return read;
    notes_.clear();
    auto sources = write_sources();
    if (!sources)
        co_return sources.error();
    std::string step = step_id();
    std::replace(step.begin(), step.end(), ':', '-');
    const auto scratch = Scratch::make(ports_.root, *user, step);
    if (!scratch)
        co_return scratch.error();
    const auto cut_short = work_.is_set();
    if (!cut_short)
        co_return cut_short.error();
    const Present present = *cut_short ? Present::torn : Present::kept;

    std::vector<Command> commands;
    std::map<std::string, std::string> variables;
    auto program = co_await uv(context, *user);
    if (program) {
        auto asked = co_await uv_variables(context, *user, *program, present);
        if (asked)
            variables = std::move(*asked);
        else
            program = asked.error();
    }
    if (program) {
        if (auto tied = tie_indexes(*sources); !tied)
            co_return tied;
        commands.push_back(uv_command(*program, *sources, present));
    } else {
        context.log("using pip instead of uv: " + program.error().message);
        notes_.push_back("through pip: " + printable(program.error().message, 100));
        if (!wish_.indexes.empty()) {
            auto wheels = co_await fetch_tied(context, *user, scratch->path());
            if (!wheels)
                co_return wheels.error();
            const std::size_t notes = notes_.size();
            sources = write_sources(std::move(*wheels));
            notes_.resize(notes); // they are said already
            if (!sources)
                co_return sources.error();
            sources->wheels = scratch->path();
        }
        if (file_.is_hashed && !sources->list.empty()) {
            std::vector<std::string> locked;
            for (const auto& entry : file_.entries)
                locked.emplace_back(entry.requirement);
            if (auto written = durable_write(runtime_file("locked.txt"),
                                             join(locked, "\n") + "\n",
                                             {.mode = 0644},
                                             Durability::ephemeral);
                !written)
                co_return written;
        }
        commands = pip_commands(*sources, present);
    }
    for (const std::string& note : notes_)
        context.log(note);
    context.progress(std::string{"resolving with "} + (program ? "uv" : "pip"));
    if (auto begun = work_.set(); !begun)
        co_return begun;
    for (std::size_t i = 0; i < commands.size(); ++i) {
        Command& command = commands[i];
        command.environment.insert(variables.begin(), variables.end());
        command.environment["TMPDIR"] = scratch->path();
        auto outcome = co_await install(context, *user, std::move(command));
        if (!outcome)
            co_return outcome.error();
        // Who ended of himself has left nothing half done; a reinstallation that failed has.
        const bool in_order = outcome->exit_code().has_value();
        const bool is_last = i + 1 == commands.size();
        if ((outcome->succeeded() && is_last) ||
            (!outcome->succeeded() && in_order && present == Present::kept))
            if (auto lifted = co_await work_.lift(context, *user, wish_.prefix); !lifted)
                co_return lifted;
        if (!outcome->succeeded())
            co_return with_network_state(
                agent::context(explained(*outcome), "installing Python packages"), ports_.root);
    }
    co_return Result<void>{};
}

// Where a package is asked for, in words; empty: by another package.
std::string PythonPackages::list_of(std::string_view package) const {
    std::string table = wish_.environment.empty()
                            ? "[python] packages"
                            : "packages of the [[python.environment]] " + wish_.environment;
    for (const std::string& requirement : wish_.requirements)
        if (required_name(requirement) == package)
            return table;
    for (const auto& entry : file_.entries)
        if (required_name(entry.requirement) == package)
            return entry.file.string() + ":" + std::to_string(entry.line);
    return {};
}

Error PythonPackages::explained(const CommandOutcome& outcome) const {
    Error error = installer_error(outcome);
    const std::string& words =
        trim(outcome.error_tail).empty() ? outcome.output : outcome.error_tail;
    const std::string unknown = required_name(unknown_package_in(words));
    if (unknown.empty() || error.kind != ErrorKind::permanent)
        return error;
    const std::string place = list_of(unknown);
    const std::string meant = nearest(unknown, popular);
    error.message = "there is no package " + printable(unknown, 60) + " on the package index" +
                    (place.empty() ? "" : ", which " + place + " asks for") + ": " + error.message;
    error.next =
        (meant.empty() ? "" : "did you mean " + meant + "? ") + "correct " +
        (place.starts_with('/') || is_in_bucket(place) ? place : "[python] in the configuration");
    return error;
}

std::string unknown_package_in(std::string_view words) {
    const auto last_word_before = [&](std::string_view sign) -> std::string {
        const auto at = words.find(sign);
        if (at == std::string_view::npos)
            return {};
        const auto before = trim(words.substr(0, at));
        return std::string{before.substr(before.find_last_of(" \n\t") + 1)};
    };
    // uv: Because nosuch was not found in the package registry and you require nosuch, …
    if (auto name = last_word_before(" was not found in the package registry"); !name.empty())
        return name;
    // pip: Could not find a version that satisfies the requirement nosuch (from versions: none)
    constexpr std::string_view opening = "satisfies the requirement ";
    const auto none = words.find("(from versions: none)");
    const auto at = words.substr(0, none).rfind(opening);
    if (none == std::string_view::npos || at == std::string_view::npos)
        return {};
    return std::string{trim(words.substr(at + opening.size(), none - at - opening.size()))};
}

Error installer_error(const CommandOutcome& outcome) {
    const std::string& words =
        trim(outcome.error_tail).empty() ? outcome.output : outcome.error_tail;
    const auto contains = [&](std::string_view sign) {
        return words.find(sign) != std::string::npos;
    };
    Error error = permanent(describe(outcome));
    if (const std::string cause = from_cause(without_drawing(words)); !cause.empty())
        error.message += ": " + printable(cause, 900);
    // pip, of an index that it did not get through to, says in the end that there are no versions.
    constexpr std::string_view broken = "after connection broken by ";
    if (contains(broken) && contains("from versions: none")) {
        const auto why = words.substr(words.rfind(broken) + broken.size());
        error = transient("the package index cannot be reached: " +
                          printable(why.substr(0, why.find('\n')), 300));
    } else if (contains("No solution found") || contains("No matching distribution found") ||
               contains("was not found in the package registry") ||
               contains("ResolutionImpossible")) {
        error.next = "correct [python] packages in the configuration: see the names above";
        return error;
    }
    if (contains("Hash mismatch") || contains("DO NOT MATCH THE HASHES") ||
        (contains("Computed:") && contains("sha256:"))) {
        if (!contains("Hash mismatch"))
            error.message = describe(outcome) + ": what came has another hash than the file says";
        error.next = "what the index gives now is not what the lock file was made from: make it "
                     "anew, or find out who changed the package";
        return error;
    }
    if (contains("No space left on device")) {
        error.next = "free disk space or make the boot disk larger";
        return error;
    }
    for (const std::string_view sign : {"error sending request",
                                        "Failed to fetch",
                                        "Failed to download",
                                        "timed out",
                                        "Connection",
                                        "Temporary failure in name resolution",
                                        "dns error",
                                        "503 Service"})
        if (contains(sign))
            error.kind = ErrorKind::transient;
    if (std::holds_alternative<TimedOut>(outcome.status) ||
        std::holds_alternative<Signaled>(outcome.status))
        error.kind = ErrorKind::transient;
    if (lacked_memory(outcome)) {
        error.kind = ErrorKind::transient;
        error.next = next_for_lack_of_memory;
    }
    return error;
}

} // namespace agent
