#include "agent/settings.hpp"

#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"
#include "agent/settings_reader.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
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

// What only all sources together say.
void check_contradictions(ConfigDraft& draft, std::span<const ConfigSource> sources) {
    const Settings& settings = draft.settings;
    if (settings.python.kind != PythonKind::none || settings.python.packages.empty())
        return;
    const ConfigDraft::Said& packages = draft.said["python.packages"].back();
    const ConfigDraft::Said& kind = draft.said["python.kind"].back();
    const ConfigSource& source = sources[packages.source];
    draft.found.push_back(
        {packages.source,
         {source.name,
          packages.value_position,
          token_width(source.text, packages.value_position),
          std::string{code::contradiction},
          "python.packages",
          "`python.packages` would never be installed: `python.kind` is \"none\" at " +
              (kind.source == packages.source ? "" : sources[kind.source].name + ", ") +
              place_in_words(kind.value_position),
          "packages without a Python",
          "write kind = \"venv\", or remove the packages",
          Severity::error}});
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
    if (!has_errors(draft))
        check_contradictions(draft, sources);
    if (!has_errors(draft) && !draft.said.contains("schema"))
        draft.found.push_back({sources.size(), no_schema(sources)});
    Configuration read;
    read.merged = merge(draft, sources);
    read.settings = std::move(draft.settings);
    read.diagnostics = sorted(std::move(draft.found));
    if (read.is_valid())
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
