#include "agent/settings.hpp"

#include "agent/base/duration.hpp"
#include "agent/base/text.hpp"
#include "agent/installers.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"
#include "agent/settings_reader.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <functional>
#include <set>
#include <tuple>
#include <utility>

namespace agent {
namespace {

namespace code = rules::code;

std::string_view code_of(SyntaxError::Kind kind) {
    switch (kind) {
    case SyntaxError::Kind::malformed:
        return code::syntax;
    case SyntaxError::Kind::duplicate:
        return code::defined_twice;
    case SyntaxError::Kind::unclosed:
        return code::unclosed;
    case SyntaxError::Kind::escape:
        return code::escape;
    case SyntaxError::Kind::number:
        return code::number;
    case SyntaxError::Kind::word:
        return code::word;
    case SyntaxError::Kind::depth:
        return code::too_deep;
    }
    return code::syntax;
}

Diagnostic diagnostic(const ConfigSource& source, const rules::Complaint& complaint, Position at) {
    return {source.name,
            at,
            1,
            std::string{complaint.code},
            {},
            complaint.message,
            complaint.label,
            complaint.hint,
            Severity::error};
}

// The document's tree, or what keeps it from being one.
std::variant<Value, Diagnostic> parse(const ConfigSource& source) {
    if (source.refusal)
        return *source.refusal;
    if (source.text.size() > config_size_limit)
        return diagnostic(source,
                          {code::too_large,
                           "the configuration has " + std::to_string(source.text.size()) +
                               " bytes; at most " + std::to_string(config_size_limit) + " are read",
                           {},
                           {}},
                          {});
    if (const auto judged = rules::judge_document(source.text))
        return diagnostic(source, judged->complaint, judged->position);
    auto parsed = parse_toml(source.text);
    if (parsed)
        return std::move(*parsed);
    const SyntaxError& error = parsed.error();
    return Diagnostic{source.name,
                      error.position,
                      error.width,
                      std::string{code_of(error.kind)},
                      {},
                      error.message,
                      error.label,
                      error.hint,
                      Severity::error};
}

// A table header alone sets nothing.
bool sets_a_key(const Value& value) {
    const Value::Object* object = value.as_object();
    return !object || std::any_of(object->begin(), object->end(), [](const Value::Member& member) {
        return sets_a_key(member.value);
    });
}

Diagnostic no_configuration(std::span<const ConfigSource> sources) {
    Diagnostic none;
    none.source = sources.size() == 1 ? sources.front().name : "";
    none.code = code::no_configuration;
    std::vector<std::string> names;
    for (const ConfigSource& source : sources)
        names.push_back(source.name);
    none.message = names.empty() ? "no configuration: there is neither a file nor a metadata key"
                                 : "no configuration: no key is set in " + join(names, " or in ");
    none.hint = "set what you want; `schema = 1` alone takes every default";
    return none;
}

Diagnostic no_schema(std::span<const ConfigSource> sources) {
    Diagnostic missing;
    missing.source = sources.size() == 1 ? sources.front().name : "";
    missing.code = code::no_schema;
    missing.key = "schema";
    missing.message = "`schema` is missing: it is read as schema 1";
    missing.hint = "write schema = 1 as the first line, so that a later agent knows it as well";
    missing.severity = Severity::note;
    return missing;
}

// What follows from the kind where nobody says otherwise.
void complete_python(ConfigDraft& draft) {
    Settings::Python& python = draft.settings.python;
    if (!has_conda(python.kind))
        return;
    if (!draft.said.contains("python.prefix"))
        python.prefix = python.kind == PythonKind::anaconda ? "/opt/anaconda3" : "/opt/miniforge3";
    const bool says_sha256 = draft.said.contains("python.sha256");
    const bool says_installer = draft.said.contains("python.installer");
    const Installer* known =
        says_installer ? installer_at(python.installer) : installer_of_kind(name_of(python.kind));
    if (!known || (says_sha256 && !says_installer))
        return;
    python.installer = known->url;
    if (!says_sha256)
        python.sha256 = known->sha256;
}

// At the value that the key has in the end.
void tell(ConfigDraft& draft,
          std::span<const ConfigSource> sources,
          const std::string& key,
          rules::Complaint complaint,
          Severity severity) {
    const ConfigDraft::Said& at = draft.said.find(key)->second.back();
    const ConfigSource& source = sources[at.source];
    draft.found.push_back({at.source,
                           {source.name,
                            at.value_position,
                            token_width(source.text, at.value_position),
                            std::string{complaint.code},
                            key,
                            std::move(complaint.message),
                            std::move(complaint.label),
                            std::move(complaint.hint),
                            severity}});
}

// What only all sources together say: complaints at the value that a key has in the end.
class Contradictions {
public:
    Contradictions(ConfigDraft& draft, std::span<const ConfigSource> sources)
        : draft_{draft}, sources_{sources}, python_{draft.settings.python} {}

    void check() {
        if (python_.kind == PythonKind::none)
            check_idle();
        if (has_conda(python_.kind)) {
            check_version();
            check_installer();
            check_terms();
        } else {
            check_no_conda();
        }
    }

private:
    [[nodiscard]] const ConfigDraft::Said* said(std::string_view key) const {
        const auto found = draft_.said.find(key);
        return found == draft_.said.end() ? nullptr : &found->second.back();
    }

    // "at line 2, column 8", with the source where it is another one than the key's.
    [[nodiscard]] std::string place_of_kind(std::string_view key) const {
        const ConfigDraft::Said* kind = said("python.kind");
        if (!kind)
            return "where nothing else is said";
        return "at " +
               (kind->source == said(key)->source ? "" : sources_[kind->source].name + ", ") +
               place_in_words(kind->value_position);
    }

    void complain(const std::string& key, rules::Complaint complaint) {
        tell(draft_, sources_, key, std::move(complaint), Severity::error);
    }

    void check_idle() {
        const std::pair<const char*, bool> keys[] = {
            {"python.packages", python_.packages.empty()},
            {"python.requirements", python_.requirements.empty()},
            {"python.environment", python_.environments.empty()}};
        for (const auto& [key, asks_nothing] : keys)
            if (!asks_nothing)
                complain(key,
                         {code::contradiction,
                          std::string{"`"} + key +
                              "` would never be installed: `python.kind` is \"none\" " +
                              place_of_kind(key),
                          "packages without a Python",
                          "write kind = \"venv\", or remove the packages"});
    }

    void check_no_conda() {
        const bool none = python_.kind == PythonKind::none;
        // An empty list asks for nothing.
        const std::pair<const char*, bool> keys[] = {
            {"channels", python_.channels.empty()},
            {"conda_packages", python_.conda_packages.empty()},
            {"environment_file", false},
            {"installer", false},
            {"sha256", false}};
        const auto refuse = [&](const std::string& key) {
            complain(key,
                     {code::contradiction,
                      "`" + key + "` is of no use: `python.kind` is " +
                          (none ? "\"none\" " : "\"venv\", which has no conda, ") +
                          place_of_kind(key),
                      "only with conda",
                      "write kind = \"miniforge\" (or \"anaconda\"), or remove the key"});
        };
        for (const auto& [name, asks_nothing] : keys)
            if (const std::string key = std::string{"python."} + name; said(key) && !asks_nothing)
                refuse(key);
        for (std::size_t row = 0; row < python_.environments.size(); ++row) {
            const auto& environment = python_.environments[row];
            const std::string of = "python.environment[" + std::to_string(row) + "].";
            if (!environment.conda_packages.empty())
                refuse(of + "conda_packages");
            if (!environment.channels.empty())
                refuse(of + "channels");
            if (!environment.environment_file.empty())
                refuse(of + "environment_file");
        }
    }

    void check_version() {
        if (!python_.version.empty())
            complain("python.version",
                     {code::contradiction,
                      "`python.version` is of no use: the installer of kind \"" +
                          std::string{name_of(python_.kind)} + "\" " +
                          place_of_kind("python.version") + " brings its own Python",
                      "only with a venv",
                      "name the version in a [[python.environment]], which conda makes with it"});
    }

    void check_installer() {
        const bool says_installer = said("python.installer");
        if (says_installer && python_.sha256.empty())
            complain("python.installer",
                     {code::missing_key,
                      "`python.sha256` is missing: an installer is run only when its bytes are "
                      "known to be the right ones",
                      "without `sha256`",
                      "write sha256 = \"…\", the 64 hex digits that the publisher names beside "
                      "the file"});
        else if (!says_installer && said("python.sha256"))
            complain("python.sha256",
                     {code::contradiction,
                      "`python.sha256` is there without `python.installer`: of which file?",
                      "without `installer`",
                      "write installer = \"https://…\" beside it, or remove it: known installers "
                      "bring their own"});
        else if (python_.installer.empty())
            complain("python.kind",
                     {code::missing_key,
                      "`python.installer` is missing: no installer of kind \"" +
                          std::string{name_of(python_.kind)} + "\" is known for " +
                          std::string{this_machine()},
                      "without `installer`",
                      "write installer = \"https://…\" and sha256 = \"…\", or kind = "
                      "\"miniforge\""});
    }

    void check_terms() {
        if (python_.accept_terms)
            return;
        const auto unaccepted = [&](const std::string& key,
                                    const std::string& what,
                                    const std::string& instead) {
            complain(key,
                     {code::terms,
                      "`" + key + "`: " + what +
                          " under Anaconda's terms of use, and to accept them is for you to decide",
                      "not accepted",
                      "read https://www.anaconda.com/legal (organisations of 200 people and more "
                      "have to pay), then write accept_terms = true; or " +
                          instead});
        };
        const std::string miniforge = "write kind = \"miniforge\", which needs none";
        const std::string forge = "take the channel conda-forge, which needs none";
        if (python_.kind == PythonKind::anaconda)
            return unaccepted("python.kind", "\"anaconda\" is", miniforge);
        if (said("python.installer") && rules::is_anacondas(python_.installer))
            return unaccepted("python.installer", "what comes from there is", miniforge);
        // Whether one of them was found, and told.
        const auto told = [&](const std::string& table,
                              const std::vector<std::string>& channels,
                              const std::vector<std::string>& packages) {
            for (const std::string& channel : channels)
                if (rules::is_anacondas(channel)) {
                    unaccepted(table + "channels", rules::shown(channel) + " is a channel", forge);
                    return true;
                }
            for (const std::string& package : packages)
                if (const auto colons = package.find("::");
                    colons != std::string::npos && rules::is_anacondas(package.substr(0, colons))) {
                    unaccepted(table + "conda_packages",
                               "`" + package.substr(0, colons) + "` is a channel",
                               forge);
                    return true;
                }
            return false;
        };
        if (told("python.", python_.channels, python_.conda_packages))
            return;
        for (std::size_t row = 0; row < python_.environments.size(); ++row)
            if (told("python.environment[" + std::to_string(row) + "].",
                     python_.environments[row].channels,
                     python_.environments[row].conda_packages))
                return;
    }

    ConfigDraft& draft_;
    std::span<const ConfigSource> sources_;
    const Settings::Python& python_;
};

// Taken nevertheless: nothing comes from such an index, which its author may not expect.
void check_indexes(ConfigDraft& draft, std::span<const ConfigSource> sources) {
    const Settings::Python& python = draft.settings.python;
    std::set<std::string, std::less<>> wanted;
    bool is_complete = python.requirements.empty(); // a file is not read here
    const auto add = [&](const std::vector<std::string>& packages) {
        for (const std::string& package : packages)
            if (const auto read = rules::read_requirement(package);
                const auto* requirement = std::get_if<rules::Requirement>(&read))
                wanted.insert(requirement->name);
    };
    add(python.packages);
    for (const auto& environment : python.environments) {
        add(environment.packages);
        is_complete = is_complete && environment.requirements.empty();
    }
    if (!is_complete)
        return;
    for (std::size_t row = 0; row < python.indexes.size(); ++row)
        for (const std::string& package : python.indexes[row].packages) {
            if (wanted.contains(package))
                continue;
            const std::string key = "python.index[" + std::to_string(row) + "].packages";
            tell(
                draft,
                sources,
                key,
                {code::idle_index,
                 "`" + key + "`: nothing asks for `" + package + "`, so it does not come from here",
                 "not asked for",
                 "list it in `packages` of [python] as well: an index counts only for what is "
                 "asked for by name"},
                Severity::warning);
        }
}

// Taken nevertheless: whichever ends first counts.
void check_limits(ConfigDraft& draft, std::span<const ConfigSource> sources) {
    const Settings::Limits& limits = draft.settings.limits;
    if (!limits.lifetime || limits.setup <= *limits.lifetime)
        return;
    tell(draft,
         sources,
         "limits.lifetime",
         {code::setup_beyond_lifetime,
          "`limits.lifetime`: " + short_duration(*limits.lifetime) +
              " end before `limits.setup` of " + short_duration(limits.setup),
          "shorter than the setup may take",
          "a machine that is not set up by then stops all the same; make `setup` shorter, or "
          "`lifetime` longer"},
         Severity::warning);
}

// Jupyter would come up, and refuse the right password for ever.
void check_password_hash(ConfigDraft& draft, std::span<const ConfigSource> sources) {
    if (!draft.settings.jupyter.password_hash.starts_with("argon2:"))
        return;
    const auto old = asks_for_old_notebook(draft.settings);
    if (!old)
        return;
    tell(draft,
         sources,
         "jupyter.password_hash",
         {code::unread_hash,
          "`jupyter.password_hash` is argon2, which a notebook before 6.1 does not understand, "
          "and " +
              *old + " is one",
          "it would refuse the right password",
          "`agent password --for notebook-6.0` reads a password and prints the hash to write here"},
         Severity::error);
}

bool has_errors(const ConfigDraft& draft) {
    return std::any_of(draft.found.begin(), draft.found.end(), [](const auto& found) {
        return found.diagnostic.severity == Severity::error;
    });
}

std::vector<Diagnostic> sorted(std::vector<ConfigDraft::Found> found) {
    const auto order = [](const ConfigDraft::Found& one) {
        const Position& position = one.diagnostic.position;
        return std::tuple{one.source, position.line, position.column};
    };
    std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
        return order(a) < order(b);
    });
    std::vector<Diagnostic> diagnostics;
    diagnostics.reserve(found.size());
    for (auto& one : found) {
        if (one.diagnostic.code == code::too_many_errors)
            one.diagnostic.position = {};
        diagnostics.push_back(std::move(one.diagnostic));
    }
    return diagnostics;
}

// Names and texts with their lengths, so that no two lists of sources look alike.
std::string digest_of(std::span<const ConfigSource> sources) {
    std::string all;
    for (const ConfigSource& source : sources)
        for (const std::string& part : {source.name, source.text})
            all += std::to_string(part.size()) + ":" + part;
    return sha256_hex(all);
}

} // namespace

namespace {

// Anaconda's installers say their time in their names: Anaconda3-2019.10-Linux-x86_64.sh has
// notebook 6.0.1, and 2020.11 was the first with 6.1.
std::optional<std::string> old_notebook_of(std::string_view installer) {
    constexpr std::string_view maker = "Anaconda3-";
    constexpr Release first_with_later{2020, 11};
    const std::string_view file = installer.substr(installer.rfind('/') + 1);
    if (!file.starts_with(maker))
        return std::nullopt;
    const std::string_view time = file.substr(maker.size());
    const Release release = release_of(time);
    if (release.major < 2018 || release >= first_with_later)
        return std::nullopt;
    return "the notebook of `" + std::string{file.substr(0, file.find('-', maker.size()))} + "`";
}

} // namespace

std::optional<std::string> asks_for_old_notebook(const Settings& settings) {
    const bool lab = settings.jupyter.interface == JupyterInterface::lab;
    std::optional<std::string> notebook = old_notebook_of(settings.python.installer);
    bool lab_is_old = notebook.has_value(); // and so made of the notebook
    for (const auto& entry : settings.python.packages) {
        const auto read = rules::read_requirement(entry);
        const auto* requirement = std::get_if<rules::Requirement>(&read);
        if (!requirement)
            continue;
        if (requirement->name == "notebook")
            notebook = rules::stays_below(*requirement, {6, 1})
                           ? std::optional{"`" + requirement->text + "`"}
                           : std::nullopt;
        if (requirement->name == "jupyterlab")
            lab_is_old = rules::stays_below(*requirement, {3, 0});
    }
    return lab && !lab_is_old ? std::nullopt : notebook;
}

std::string_view name_of(Severity severity) {
    switch (severity) {
    case Severity::error:
        return "error";
    case Severity::warning:
        return "warning";
    case Severity::note:
        break;
    }
    return "note";
}

bool Configuration::is_valid() const {
    return std::none_of(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& diagnostic) {
        return diagnostic.severity == Severity::error;
    });
}

Configuration read_configuration(std::span<const ConfigSource> sources) {
    ConfigDraft draft;
    bool configured = false;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        auto parsed = parse(sources[i]);
        if (auto* failure = std::get_if<Diagnostic>(&parsed)) {
            draft.found.push_back({i, std::move(*failure)});
            continue;
        }
        const Value& document = std::get<Value>(parsed);
        configured = configured || sets_a_key(document);
        read_document(sources[i], i, *document.as_object(), draft);
    }
    if (!has_errors(draft) && !configured)
        draft.found.push_back({sources.size(), no_configuration(sources)});
    complete_python(draft);
    if (!has_errors(draft))
        Contradictions{draft, sources}.check();
    if (!has_errors(draft)) {
        check_limits(draft, sources);
        check_indexes(draft, sources);
        check_password_hash(draft, sources);
    }
    if (!has_errors(draft) && !draft.said.contains("schema"))
        draft.found.push_back({sources.size(), no_schema(sources)});
    Configuration read;
    read.merged = merge(draft, sources);
    read.settings = std::move(draft.settings);
    read.diagnostics = sorted(std::move(draft.found));
    read.settings.sha256 = digest_of(sources);
    return read;
}

std::variant<Settings, ConfigErrors> accept(Configuration read) {
    if (read.is_valid())
        return std::move(read.settings);
    std::erase_if(read.diagnostics, [](const Diagnostic& diagnostic) {
        return diagnostic.severity != Severity::error;
    });
    return ConfigErrors{std::move(read.diagnostics)};
}

std::variant<Settings, ConfigErrors> read_settings(std::span<const ConfigSource> sources) {
    return accept(read_configuration(sources));
}

namespace {

std::string place_of(const Diagnostic& diagnostic) {
    if (diagnostic.position.line == 0)
        return diagnostic.source;
    return diagnostic.source + ":" + std::to_string(diagnostic.position.line) + ":" +
           std::to_string(diagnostic.position.column);
}

} // namespace

std::string one_line(const Diagnostic& diagnostic) {
    const std::string place = place_of(diagnostic);
    return (place.empty() ? "" : place + ": ") + diagnostic.message +
           (diagnostic.hint.empty() ? "" : " (" + diagnostic.hint + ")");
}

std::string summarise(const ConfigErrors& errors) {
    if (errors.diagnostics.empty())
        return "the configuration is wrong";
    const Diagnostic& first = errors.diagnostics.front();
    const std::string place = place_of(first);
    std::string text = (place.empty() ? "" : place + ": ") + first.message;
    if (const std::size_t more = errors.diagnostics.size() - 1; more > 0)
        text += " (and " + std::to_string(more) + (more == 1 ? " more error)" : " more errors)");
    return text;
}

} // namespace agent
