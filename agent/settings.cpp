#include "agent/settings.hpp"

#include "agent/base/text.hpp"
#include "agent/base/unique_fd.hpp"
#include "agent/base/utf8.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace agent {
namespace {

namespace code = rules::code;

constexpr std::size_t size_limit =
    std::size_t{256} * 1024; // what the metadata server gives for one value
constexpr std::size_t entry_limit = 2000;
constexpr std::size_t entry_size_limit = 200;
constexpr std::size_t diagnostic_limit = 100;
constexpr std::int64_t schema_version = 1;
constexpr mode_t written_by_others = 0022;

std::string place(Position position) {
    return "line " + std::to_string(position.line) + ", column " + std::to_string(position.column);
}

std::string article(const std::string& type) {
    return (type == "integer" || type == "array" ? "an " : "a ") + type;
}

// How many characters the token at `position` has: a bare key, a quoted text, a number.
std::size_t token_width(std::string_view text, Position position) {
    if (text.starts_with("\xEF\xBB\xBF"))
        text.remove_prefix(3);
    for (std::uint32_t line = 1; line < position.line; ++line) {
        const auto end = text.find('\n');
        if (end == std::string_view::npos)
            return 1;
        text.remove_prefix(end + 1);
    }
    text = text.substr(0, text.find_first_of("\r\n"));
    const auto is_lead = [](char c) { return !continues_character(c); };
    std::uint32_t column = 0;
    while (!text.empty()) {
        if (is_lead(text.front()) && ++column == position.column)
            break;
        text.remove_prefix(1);
    }
    if (text.empty())
        return 1;
    const char quote = text.front();
    std::size_t end = 1;
    if (quote == '"' || quote == '\'') {
        while (end < text.size() && text[end] != quote)
            end += quote == '"' && text[end] == '\\' ? 2 : 1;
        end = std::min(end + 1, text.size());
    } else if (quote != '[' && quote != '{') {
        end = std::min(text.find_first_of(" \t=.,]}#"), text.size());
        // A dot ends a key, but not a number or a date.
        if ((quote >= '0' && quote <= '9') || quote == '-' || quote == '+')
            end = std::min(text.find_first_of(" \t,]}#"), text.size());
    }
    const auto characters =
        std::count_if(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), is_lead);
    return std::max<std::size_t>(1, static_cast<std::size_t>(characters));
}

// Where a key came from that another source may contradict.
struct Origin {
    std::size_t source = 0;
    Position position;
};

struct Origins {
    std::optional<Origin> python_kind;
    std::optional<Origin> python_packages;
};

// Bounded, because a document of nothing but mistakes is a large one.
struct Collected {
    std::vector<Diagnostic> diagnostics;
    std::size_t more = 0;
    [[nodiscard]] bool full() const { return diagnostics.size() >= diagnostic_limit; }
};

// Reads one source into the settings, over what earlier sources said.
class Reader {
public:
    Reader(const ConfigSource& source,
           std::size_t index,
           Settings& settings,
           Origins& origins,
           Collected& collected)
        : source_{source}, index_{index}, settings_{settings}, origins_{origins},
          collected_{collected} {}

    void read(const Value::Object& document) {
        for (const Value::Member& member : document) {
            path_ = member.key;
            if (const Table* table = find(tables, member.key))
                read_table(*table, member);
            else if (member.key == "schema")
                schema(member.value);
            else
                unknown_in_document(member);
        }
    }

private:
    struct Key {
        std::string_view name;
        void (Reader::*read)(const Value&);
    };
    struct Table {
        std::string_view name;
        std::span<const Key> keys;
    };

    template <class Range>
    static const Range::value_type* find(const Range& range, std::string_view name) {
        const auto found = std::find_if(
            std::begin(range), std::end(range), [&](const auto& one) { return one.name == name; });
        return found == std::end(range) ? nullptr : &*found;
    }

    template <class Range> static std::vector<std::string_view> names_of(const Range& range) {
        std::vector<std::string_view> names;
        names.reserve(range.size() + 1);
        for (const auto& one : range)
            names.push_back(one.name);
        return names;
    }

    static std::string listed(const std::vector<std::string_view>& names) {
        const std::vector<std::string> list{names.begin(), names.end()};
        return join(list, ", ");
    }

    void complain_at(Position position, rules::Complaint complaint) {
        if (collected_.full()) {
            ++collected_.more;
            return;
        }
        collected_.diagnostics.push_back({source_.name,
                                          position,
                                          token_width(source_.text, position),
                                          std::string{complaint.code},
                                          path_,
                                          std::move(complaint.message),
                                          std::move(complaint.label),
                                          std::move(complaint.hint)});
    }

    void complain(const Value& value, rules::Complaint complaint) {
        complain_at(value.position, std::move(complaint));
    }

    void complain(const Value::Member& member, rules::Complaint complaint) {
        complain_at(member.key_position, std::move(complaint));
    }

    // Names.

    void read_table(const Table& table, const Value::Member& member) {
        const Value::Object* object = member.value.as_object();
        const std::string name{table.name};
        if (!object) {
            const bool doubled = member.value.as_array() && !member.value.as_array()->empty() &&
                                 member.value.as_array()->front().as_object();
            return complain(
                member,
                {code::wrong_type,
                 "`" + name + "`: expected a table, found " + article(member.value.type_name()),
                 "expected [" + name + "]",
                 doubled ? "write [" + name + "] once, in single brackets"
                         : "write [" + name +
                               "] on a line of its own, and its "
                               "keys below it"});
        }
        for (const Value::Member& entry : *object) {
            path_ = name + "." + printable(entry.key, 60);
            if (const Key* key = find(table.keys, entry.key))
                (this->*key->read)(entry.value);
            else
                unknown_in_table(table, entry);
        }
    }

    static bool is_plaintext_key(std::string_view key) {
        constexpr std::array<std::string_view, 8> names{
            "password", "passwd", "passphrase", "pwd", "pass", "token", "secret", "passwort"};
        const std::string name = lower(key);
        return std::find(names.begin(), names.end(), name) != names.end();
    }

    bool refused_as_plaintext(const Value::Member& member) {
        if (!is_plaintext_key(member.key))
            return false;
        complain(member,
                 {code::plaintext,
                  "`" + path_ + "`: a password is never written into the configuration",
                  "only its hash is",
                  "`agent password` reads a password and prints the hash for "
                  "jupyter.password_hash"});
        return true;
    }

    static std::string near(std::string_view word, const std::vector<std::string_view>& names) {
        std::string plain = lower(word);
        std::replace(plain.begin(), plain.end(), '-', '_');
        const std::string found = nearest(plain, names);
        return found.empty() ? found : "did you mean `" + found + "`? ";
    }

    void unknown_in_table(const Table& table, const Value::Member& member) {
        if (collected_.full()) {
            ++collected_.more;
            return;
        }
        if (refused_as_plaintext(member))
            return;
        const auto names = names_of(table.keys);
        const std::string heading = "[" + std::string{table.name} + "]";
        std::string hint = near(member.key, names);
        if (const Table* home = home_of(member.key); hint.empty() && home)
            hint = "it belongs to [" + std::string{home->name} + "]; ";
        complain(member,
                 {code::unknown_key,
                  "unknown key `" + path_ + "`",
                  "not a key of " + heading,
                  hint + "keys of " + heading + ": " + listed(names)});
    }

    void unknown_in_document(const Value::Member& member) {
        path_ = printable(member.key, 60);
        if (collected_.full()) {
            ++collected_.more;
            return;
        }
        if (refused_as_plaintext(member))
            return;
        auto names = names_of(tables);
        const bool is_table = member.value.as_object() ||
                              (member.value.as_array() && !member.value.as_array()->empty() &&
                               member.value.as_array()->front().as_object());
        const Table* home = is_table ? nullptr : home_of(member.key);
        std::string hint;
        if (home) {
            hint = "it belongs to [" + std::string{home->name} + "]; ";
        } else {
            auto all = names;
            all.push_back("schema");
            hint = near(member.key, all);
        }
        hint += "tables: " + listed(names);
        if (is_table)
            complain(member,
                     {code::unknown_table,
                      "unknown table [" + path_ + "]",
                      "not a table of this configuration",
                      hint});
        else
            complain(member,
                     {code::unknown_key,
                      "unknown key `" + path_ + "`",
                      "not a key outside a table",
                      hint + "; outside them: schema"});
    }

    // Types.

    void wrong_type(const Value& value, const std::string& expected, std::string hint) {
        complain(value,
                 {code::wrong_type,
                  "`" + path_ + "`: expected " + article(expected) + ", found " +
                      article(value.type_name()),
                  "found " + article(value.type_name()),
                  std::move(hint)});
    }

    const std::string* text_of(const Value& value) {
        const std::string* text = value.as_string();
        if (!text)
            wrong_type(value,
                       "string",
                       value.as_array() || value.as_object() ? "" : "put it in quotes: \"…\"");
        return text;
    }

    const std::int64_t* integer_of(const Value& value, const std::string& example) {
        const std::int64_t* number = value.as_integer();
        if (!number)
            wrong_type(value, "integer", "write a whole number without quotes: " + example);
        return number;
    }

    bool accepted(const Value& value, rules::Verdict verdict) {
        if (!verdict)
            return true;
        verdict->message.insert(0, "`" + path_ + "`: ");
        complain(value, std::move(*verdict));
        return false;
    }

    // Calls `take` for each string of an array, with path_ naming it; false when it is no array.
    template <class Take> bool each_entry(const Value& value, Take take) {
        const Value::Array* array = value.as_array();
        if (!array) {
            wrong_type(value, "array", value.as_string() ? "put it in brackets: [\"…\"]" : "");
            return false;
        }
        if (array->size() > entry_limit) {
            complain(value,
                     {code::too_long,
                      "`" + path_ + "`: " + std::to_string(array->size()) +
                          " entries are more than " + std::to_string(entry_limit),
                      "too many entries",
                      {}});
            return false;
        }
        const std::string path = path_;
        for (std::size_t i = 0; i < array->size(); ++i) {
            path_ = path + "[" + std::to_string(i) + "]";
            const Value& entry = (*array)[i];
            const std::string* text = text_of(entry);
            if (text && text->size() > entry_size_limit)
                complain(entry,
                         {code::too_long,
                          "`" + path_ + "`: the entry is longer than " +
                              std::to_string(entry_size_limit) + " bytes",
                          "too long",
                          {}});
            else if (text)
                take(entry, *text);
        }
        path_ = path;
        return true;
    }

    using FirstSeen = std::map<std::string, Position>;

    bool is_new(FirstSeen& seen, const std::string& name, const Value& entry) {
        const auto [first, added] = seen.emplace(name, entry.position);
        if (!added)
            complain(entry,
                     {code::repeated_entry,
                      "`" + path_ + "`: " + rules::shown(name) + " is listed twice: first at " +
                          place(first->second),
                      "listed again here",
                      "keep one of the two"});
        return added;
    }

    // Keys.

    void schema(const Value& value) {
        const std::int64_t* number = integer_of(value, "schema = 1");
        if (number && *number != schema_version)
            complain(value,
                     {code::schema,
                      "`schema`: this agent reads schema 1, and this is schema " +
                          std::to_string(*number),
                      "not supported",
                      *number > schema_version ? "upgrade the agent, or write schema = 1"
                                               : "write schema = 1"});
    }

    void user(const Value& value) {
        const std::string* text = text_of(value);
        if (text && accepted(value, rules::judge_user(*text)))
            settings_.machine.user = *text;
    }

    void apt_packages(const Value& value) {
        FirstSeen seen;
        std::vector<std::string> packages;
        const auto take = [&](const Value& entry, const std::string& text) {
            if (accepted(entry, rules::judge_apt_package(text)) &&
                is_new(seen, text.substr(0, text.find('=')), entry))
                packages.push_back(text);
        };
        if (each_entry(value, take))
            settings_.apt.packages = std::move(packages);
    }

    template <class Choice>
    void choose(const Value& value,
                std::span<const std::pair<std::string_view, Choice>> choices,
                Choice& chosen) {
        const std::string* text = text_of(value);
        if (!text)
            return;
        std::vector<std::string_view> names;
        for (const auto& [name, choice] : choices) {
            names.push_back(name);
            if (name == *text) {
                chosen = choice;
                return;
            }
        }
        std::string options;
        for (const std::string_view name : names)
            options += (options.empty() ? "\"" : " or \"") + std::string{name} + "\"";
        complain(value,
                 {code::choice,
                  "`" + path_ + "`: expected " + options + ", found " + rules::shown(*text),
                  "not one of them",
                  near(*text, names) + "write " + options});
    }

    void python_kind(const Value& value) {
        static constexpr std::array<std::pair<std::string_view, PythonKind>, 2> kinds{
            {{"venv", PythonKind::venv}, {"none", PythonKind::none}}};
        choose<PythonKind>(value, kinds, settings_.python.kind);
        origins_.python_kind = {index_, value.position};
    }

    void python_prefix(const Value& value) {
        const std::string* text = text_of(value);
        if (text && accepted(value, rules::judge_prefix(*text)))
            settings_.python.prefix = *text;
    }

    void python_packages(const Value& value) {
        FirstSeen seen;
        std::vector<std::string> packages;
        const auto take = [&](const Value& entry, const std::string& text) {
            const auto read = rules::read_requirement(text);
            if (const auto* complaint = std::get_if<rules::Complaint>(&read)) {
                accepted(entry, *complaint);
                return;
            }
            const auto& requirement = std::get<rules::Requirement>(read);
            if (is_new(seen, requirement.name, entry))
                packages.push_back(requirement.text);
        };
        if (!each_entry(value, take))
            return;
        settings_.python.packages = std::move(packages);
        origins_.python_packages = {index_, value.position};
    }

    void python_index_url(const Value& value) {
        const std::string* text = text_of(value);
        if (text && accepted(value, rules::judge_index_url(*text)))
            settings_.python.index_url = *text;
    }

    void jupyter_interface(const Value& value) {
        static constexpr std::array<std::pair<std::string_view, JupyterInterface>, 2> interfaces{
            {{"lab", JupyterInterface::lab}, {"notebook", JupyterInterface::notebook}}};
        choose<JupyterInterface>(value, interfaces, settings_.jupyter.interface);
    }

    void jupyter_directory(const Value& value) {
        const std::string* text = text_of(value);
        if (text && accepted(value, rules::judge_directory(*text)))
            settings_.jupyter.directory = *text;
    }

    void jupyter_port(const Value& value) {
        const std::int64_t* number = integer_of(value, "port = 8888");
        if (!number)
            return;
        constexpr std::int64_t https = 443;
        constexpr std::int64_t lowest = 1024;
        constexpr std::int64_t highest = 65535;
        if (*number == https || (*number >= lowest && *number <= highest))
            settings_.jupyter.port = static_cast<std::uint16_t>(*number);
        else
            complain(
                value,
                {code::range,
                 "`" + path_ + "`: expected 443 or 1024 to 65535, found " + std::to_string(*number),
                 "not a port for Jupyter",
                 *number == 22 ? "22 is SSH's" : "write 443, or one such as 8888"});
    }

    void jupyter_password_hash(const Value& value) {
        const std::string* text = value.as_string();
        if (!text)
            return wrong_type(
                value,
                "string",
                "`agent password` reads a password and prints the hash to write here");
        if (accepted(value, rules::judge_password_hash(*text)))
            settings_.jupyter.password_hash = *text;
    }

    void tls_names(const Value& value) {
        FirstSeen seen;
        std::vector<std::string> names;
        const auto take = [&](const Value& entry, const std::string& text) {
            if (accepted(entry, rules::judge_tls_name(text)) && is_new(seen, lower(text), entry))
                names.push_back(text);
        };
        if (each_entry(value, take))
            settings_.tls.names = std::move(names);
    }

    void guest_attributes(const Value& value) {
        if (const bool* flag = value.as_bool())
            settings_.report.guest_attributes = *flag;
        else
            wrong_type(value, "boolean", "write true or false, in lower case and without quotes");
    }

    static constexpr std::array<Key, 1> machine_keys{{{"user", &Reader::user}}};
    static constexpr std::array<Key, 1> apt_keys{{{"packages", &Reader::apt_packages}}};
    static constexpr std::array<Key, 4> python_keys{{{"index_url", &Reader::python_index_url},
                                                     {"kind", &Reader::python_kind},
                                                     {"packages", &Reader::python_packages},
                                                     {"prefix", &Reader::python_prefix}}};
    static constexpr std::array<Key, 4> jupyter_keys{
        {{"directory", &Reader::jupyter_directory},
         {"interface", &Reader::jupyter_interface},
         {"password_hash", &Reader::jupyter_password_hash},
         {"port", &Reader::jupyter_port}}};
    static constexpr std::array<Key, 1> tls_keys{{{"names", &Reader::tls_names}}};
    static constexpr std::array<Key, 1> report_keys{
        {{"guest_attributes", &Reader::guest_attributes}}};
    static constexpr std::array<Table, 6> tables{{{"apt", apt_keys},
                                                  {"jupyter", jupyter_keys},
                                                  {"machine", machine_keys},
                                                  {"python", python_keys},
                                                  {"report", report_keys},
                                                  {"tls", tls_keys}}};

    static const Table* home_of(std::string_view key) {
        for (const Table& table : tables)
            if (find(table.keys, key))
                return &table;
        return nullptr;
    }

    const ConfigSource& source_;
    std::size_t index_;
    Settings& settings_;
    Origins& origins_;
    Collected& collected_;
    std::string path_; // of the key being read
};

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
            complaint.hint};
}

// The document's tree, or what keeps it from being one.
std::variant<Value, Diagnostic> parse(const ConfigSource& source) {
    if (source.text.size() > size_limit)
        return diagnostic(source,
                          {code::too_large,
                           "the configuration has " + std::to_string(source.text.size()) +
                               " bytes; at most " + std::to_string(size_limit) + " are read",
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
                      error.hint};
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

void check_contradictions(const Settings& settings,
                          const Origins& origins,
                          std::span<const ConfigSource> sources,
                          std::vector<Diagnostic>& diagnostics) {
    if (settings.python.kind != PythonKind::none || settings.python.packages.empty())
        return;
    const Origin& packages = *origins.python_packages;
    const Origin& kind = *origins.python_kind;
    const ConfigSource& source = sources[packages.source];
    diagnostics.push_back(
        {source.name,
         packages.position,
         token_width(source.text, packages.position),
         std::string{code::contradiction},
         "python.packages",
         "`python.packages` would never be installed: `python.kind` is \"none\" at " +
             (kind.source == packages.source ? "" : sources[kind.source].name + ", ") +
             place(kind.position),
         "packages without a Python",
         "write kind = \"venv\", or remove the packages"});
}

void sort_by_position(std::vector<Diagnostic>& diagnostics) {
    std::stable_sort(diagnostics.begin(), diagnostics.end(), [](const auto& a, const auto& b) {
        return std::tie(a.position.line, a.position.column) <
               std::tie(b.position.line, b.position.column);
    });
}

Diagnostic and_more(const ConfigSource& source, std::size_t more) {
    return diagnostic(source,
                      {code::too_many_errors,
                       "too many errors: " + std::to_string(more) + " more are not shown",
                       {},
                       {}},
                      {});
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

std::variant<Settings, ConfigErrors> read_settings(std::span<const ConfigSource> sources) {
    Settings settings;
    Origins origins;
    std::vector<Diagnostic> diagnostics;
    bool configured = false;
    for (std::size_t i = 0; i < sources.size(); ++i) {
        auto parsed = parse(sources[i]);
        if (auto* failure = std::get_if<Diagnostic>(&parsed)) {
            diagnostics.push_back(std::move(*failure));
            continue;
        }
        const Value& document = std::get<Value>(parsed);
        configured = configured || sets_a_key(document);
        Collected collected;
        Reader{sources[i], i, settings, origins, collected}.read(*document.as_object());
        sort_by_position(collected.diagnostics);
        if (collected.more > 0)
            collected.diagnostics.push_back(and_more(sources[i], collected.more));
        std::move(collected.diagnostics.begin(),
                  collected.diagnostics.end(),
                  std::back_inserter(diagnostics));
    }
    if (diagnostics.empty() && !configured)
        diagnostics.push_back(no_configuration(sources));
    if (diagnostics.empty())
        check_contradictions(settings, origins, sources, diagnostics);
    if (!diagnostics.empty())
        return ConfigErrors{std::move(diagnostics)};
    settings.sha256 = digest_of(sources);
    return settings;
}

std::string summarise(const ConfigErrors& errors) {
    if (errors.diagnostics.empty())
        return "the configuration is wrong";
    const Diagnostic& first = errors.diagnostics.front();
    std::string text = first.source;
    if (first.position.line > 0)
        text +=
            ":" + std::to_string(first.position.line) + ":" + std::to_string(first.position.column);
    text += (text.empty() ? "" : ": ") + first.message;
    if (const std::size_t more = errors.diagnostics.size() - 1; more > 0)
        text += " (and " + std::to_string(more) + (more == 1 ? " more error)" : " more errors)");
    return text;
}

Result<ConfigSource>
load_config_file(const std::filesystem::path& path, std::string shown_name, Trust trust) {
    const auto refused = [&](std::string_view why, std::string next = {}) {
        return misconfigured("reading " + shown_name + ": " + std::string{why}, std::move(next));
    };
    // A person may name a file through links; the machine's own files are none.
    const int follow = trust == Trust::machine_file ? O_NOFOLLOW : 0;
    const UniqueFd fd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | follow)};
    if (!fd && errno == ELOOP)
        return refused("it is a symbolic link", "put the file itself there");
    if (!fd)
        return system_error("reading " + shown_name, errno);
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0)
        return system_error("reading " + shown_name, errno);
    if (S_ISDIR(status.st_mode))
        return refused("it is a directory");
    if (!S_ISREG(status.st_mode))
        return refused("it is not a regular file");
    if (trust == Trust::machine_file) {
        if (status.st_uid != 0 && status.st_uid != ::geteuid())
            return refused("it does not belong to root", "chown root " + shown_name);
        if ((status.st_mode & written_by_others) != 0)
            return refused("others than root may write it", "chmod go-w " + shown_name);
    }
    std::string text(size_limit + 1, '\0');
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t count = ::read(fd.get(), text.data() + size, text.size() - size);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return system_error("reading " + shown_name, errno);
        if (count == 0)
            break;
        size += static_cast<std::size_t>(count);
    }
    if (size > size_limit)
        return refused("it is larger than " + std::to_string(size_limit) + " bytes");
    text.resize(size);
    return ConfigSource{std::move(shown_name), std::move(text)};
}

} // namespace agent
