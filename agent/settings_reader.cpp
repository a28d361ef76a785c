#include "agent/settings_reader.hpp"

#include "agent/base/duration.hpp"
#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"
#include "agent/ports/documents.hpp"
#include "agent/settings_keys.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

namespace agent {
namespace {

namespace code = rules::code;

constexpr std::size_t entry_limit = 2000;
constexpr std::size_t entry_size_limit = 200;
constexpr std::size_t element_limit = 200;
constexpr std::size_t diagnostic_limit = 100; // a source
constexpr std::int64_t oldest_schema = 1;
constexpr std::int64_t newest_schema = 1;
constexpr std::string_view mask = "***";

using std::chrono::hours;
using std::chrono::minutes;
constexpr minutes shortest_limit{1};
constexpr rules::DurationRule setup_rule{shortest_limit, hours{7 * 24}, "60m"};
constexpr rules::DurationRule person_rule{shortest_limit, hours{30 * 24}, "24h"};
constexpr rules::DurationRule grace_rule{shortest_limit, hours{24}, "10m"};
constexpr rules::DurationRule lifetime_rule{shortest_limit, hours{365 * 24}, "12h"};

std::string article(const std::string& type) {
    return (type == "integer" || type == "array" ? "an " : "a ") + type;
}

bool is_tables(const Value& value) {
    const Value::Array* array = value.as_array();
    return array && !array->empty() && array->front().as_object();
}

bool is_of_type(const Value& value, KeyType type) {
    switch (type) {
    case KeyType::string:
        return value.as_string() != nullptr;
    case KeyType::integer:
        return value.as_integer() != nullptr;
    case KeyType::boolean:
        return value.as_bool() != nullptr;
    case KeyType::strings:
        return value.as_array() != nullptr;
    }
    return false;
}

std::string name_of(KeyType type) {
    switch (type) {
    case KeyType::string:
        return "string";
    case KeyType::integer:
        return "integer";
    case KeyType::boolean:
        return "boolean";
    case KeyType::strings:
        break;
    }
    return "array";
}

// What is printed of a value that may not be set.
Value text_or_nothing(const std::string& text) {
    return text.empty() ? Value{} : Value{text};
}

Value list_of(const std::vector<std::string>& list) {
    return Value{Value::Array(list.begin(), list.end())};
}

// Reads one source into the draft, over what earlier sources said.
class Reader {
public:
    Reader(const ConfigSource& source, std::size_t index, ConfigDraft& draft)
        : source_{source}, index_{index}, draft_{draft}, settings_{draft.settings} {}

    void read(const Value::Object& document);

    struct Key {
        std::string_view name;
        KeyType type = KeyType::string;
        Exposure exposure = Exposure::open;
        void (Reader::*read)(const Value&) = nullptr; // given a value of the type
        // `row`: of an array of tables.
        Value (*print)(const Settings&, std::size_t row) = nullptr;
        std::string_view example = {}; // of an integer
        bool is_required = false;      // in each element of an array of tables
    };
    // What an array of tables has beside its keys. A later source replaces the whole array.
    struct Elements {
        void (Reader::*clear)() = nullptr;
        void (Reader::*begin)() = nullptr;
        void (Reader::*finish)(const Value& element) = nullptr; // judges it as a whole
        std::size_t (*count)(const Settings&) = nullptr;
    };
    struct Table {
        std::string_view name; // dotted
        std::span<const Key> keys;
        Elements elements = {}; // empty: a plain table
        [[nodiscard]] bool is_array() const { return elements.count != nullptr; }
        [[nodiscard]] std::string heading() const {
            return is_array() ? "[[" + std::string{name} + "]]" : "[" + std::string{name} + "]";
        }
        [[nodiscard]] std::string_view last_name() const {
            return name.substr(name.rfind('.') + 1);
        }
        [[nodiscard]] std::string_view parent() const {
            const auto dot = name.rfind('.');
            return dot == std::string_view::npos ? std::string_view{} : name.substr(0, dot);
        }
    };

    // Readers of keys; the table of keys at the end of this file names them.
    void schema(const Value& value);
    void user(const Value& value);
    void project_config(const Value& value);
    void proxy(const Value& value);
    void no_proxy(const Value& value);
    void ca_certificates(const Value& value);
    void apt_packages(const Value& value);
    void begin_repository();
    void finish_repository(const Value& element);
    void clear_repositories();
    void repository_name(const Value& value);
    void repository_url(const Value& value);
    void repository_suite(const Value& value);
    void repository_components(const Value& value);
    void repository_key(const Value& value);
    void repository_keyring(const Value& value);
    void python_kind(const Value& value);
    void python_installer(const Value& value);
    void python_sha256(const Value& value);
    void python_accept_terms(const Value& value);
    void python_conda_packages(const Value& value);
    void python_channels(const Value& value);
    void python_environment_file(const Value& value);
    void python_prefix(const Value& value);
    void python_packages(const Value& value);
    void python_index_url(const Value& value);
    void python_version(const Value& value);
    void python_requirements(const Value& value);
    void python_constraints(const Value& value);
    void clear_indexes();
    void begin_index();
    void finish_index(const Value& element);
    void index_name(const Value& value);
    void index_url(const Value& value);
    void index_packages(const Value& value);
    void clear_environments();
    void begin_environment();
    void finish_environment(const Value& element);
    void environment_name(const Value& value);
    void environment_version(const Value& value);
    void environment_packages(const Value& value);
    void environment_requirements(const Value& value);
    void environment_constraints(const Value& value);
    void environment_conda_packages(const Value& value);
    void environment_channels(const Value& value);
    void environment_environment_file(const Value& value);
    void jupyter_interface(const Value& value);
    void jupyter_directory(const Value& value);
    void jupyter_port(const Value& value);
    void jupyter_password_hash(const Value& value);
    void jupyter_allow_sudo(const Value& value);
    void limits_setup(const Value& value);
    void limits_person(const Value& value);
    void limits_on_failure(const Value& value);
    void limits_grace(const Value& value);
    void limits_lifetime(const Value& value);
    void tls_names(const Value& value);
    void guest_attributes(const Value& value);

private:
    void report(Position position, rules::Complaint complaint, Severity severity);
    void complain(const Value& value, rules::Complaint complaint) {
        report(value.position, std::move(complaint), Severity::error);
    }
    void complain(const Value::Member& member, rules::Complaint complaint) {
        report(member.key_position, std::move(complaint), Severity::error);
    }
    void warn(const Value& value, rules::Complaint complaint) {
        report(value.position, std::move(complaint), Severity::warning);
    }

    void read_table(const Table& table, const Value::Member& member);
    void read_elements(const Table& table, const Value::Member& member);
    void read_members(const Table& table, const Value::Object& object);
    void read_key(const Key& key, const Value::Member& member);
    void note(const std::string& path, ConfigDraft::Said said);
    void forget_elements(std::string_view table);

    bool refused_as_plaintext(const Value::Member& member);
    bool is_full();
    void unknown_in_table(const Table& table, const Value::Member& member);
    void unknown_in_document(const Value::Member& member);

    void wrong_type(const Value& value, const std::string& expected, std::string hint);
    void wrong_type(const Key& key, const Value& value);
    const std::string* text_of(const Value& value);
    bool accepted(const Value& value, rules::Verdict verdict);
    template <class Take> bool each_entry(const Value& value, Take take);
    using FirstSeen = std::map<std::string, Position>;
    bool is_new(FirstSeen& seen, const std::string& name, const Value& entry);
    template <class Choice>
    void choose(const Value& value,
                std::span<const std::pair<std::string_view, Choice>> choices,
                Choice& chosen);
    void take_conda_packages(const Value& value, std::vector<std::string>& packages);
    void take_channels(const Value& value, std::vector<std::string>& channels);
    void take_requirements(const Value& value, std::vector<std::string>& packages);
    template <class Duration>
    void take_duration(const Value& value, const rules::DurationRule& rule, Duration& duration) {
        const std::string& text = *value.as_string();
        if (accepted(value, rules::judge_duration(text, rule)))
            duration = std::chrono::duration_cast<std::chrono::seconds>(*parse_duration(text));
    }
    template <class Text>
    void take_text(const Value& value, rules::Verdict (*judge)(std::string_view), Text& text) {
        if (accepted(value, judge(*value.as_string())))
            text = *value.as_string();
    }

    const ConfigSource& source_;
    std::size_t index_;
    ConfigDraft& draft_;
    Settings& settings_;
    std::string path_;      // of the key being read
    std::size_t row_ = 0;   // of the element being read
    bool taken_ = true;     // whether the key being read is as good as it says
    std::size_t shown_ = 0; // diagnostics of this source
    std::size_t more_ = 0;  // that were left out
    struct Present {
        Position position;
        bool taken = false; // and not refused
    };
    std::map<std::string, Present, std::less<>> present_; // keys of the element being read
    FirstSeen repository_names_;
    FirstSeen index_names_;
    FirstSeen tied_packages_; // to an index
    FirstSeen environment_names_;
};

using Key = Reader::Key;
using Table = Reader::Table;

template <class Range> const auto* find(const Range& range, std::string_view name) {
    const auto found =
        std::find_if(range.begin(), range.end(), [&](const auto& one) { return one.name == name; });
    return found == range.end() ? nullptr : &*found;
}

// The schema. Tables and keys are shown in this order.

Settings::AptRepository const& repository(const Settings& settings, std::size_t row) {
    return settings.apt.repositories[row];
}

Settings::PythonIndex const& python_index(const Settings& settings, std::size_t row) {
    return settings.python.indexes[row];
}

Settings::PythonEnvironment const& python_environment(const Settings& settings, std::size_t row) {
    return settings.python.environments[row];
}

constexpr std::array document_keys{
    Key{.name = "schema",
        .type = KeyType::integer,
        .read = &Reader::schema,
        .print = [](const Settings&, std::size_t) { return Value{newest_schema}; },
        .example = "1, the one that this agent reads"}};
constexpr std::array machine_keys{
    Key{.name = "user", .read = &Reader::user, .print = [](const Settings& settings, std::size_t) {
            return Value{settings.machine.user};
        }}};
constexpr std::array metadata_keys{Key{.name = "project_config",
                                       .type = KeyType::boolean,
                                       .read = &Reader::project_config,
                                       .print = [](const Settings& settings, std::size_t) {
                                           return Value{settings.metadata.project_config};
                                       }}};
constexpr std::array network_keys{
    Key{.name = "ca_certificates",
        .read = &Reader::ca_certificates,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.network.ca_certificates); }},
    Key{.name = "no_proxy",
        .type = KeyType::strings,
        .read = &Reader::no_proxy,
        .print = [](const Settings& settings,
                    std::size_t) { return list_of(settings.network.no_proxy); }},
    Key{.name = "proxy",
        .exposure = Exposure::plain_url,
        .read = &Reader::proxy,
        .print = [](const Settings& settings, std::size_t) {
            return text_or_nothing(settings.network.proxy);
        }}};
constexpr std::array apt_keys{Key{
    .name = "packages",
    .type = KeyType::strings,
    .read = &Reader::apt_packages,
    .print = [](const Settings& settings, std::size_t) { return list_of(settings.apt.packages); }}};
constexpr std::array repository_keys{
    Key{.name = "name",
        .read = &Reader::repository_name,
        .print = [](const Settings& settings,
                    std::size_t row) { return Value{repository(settings, row).name}; },
        .is_required = true},
    Key{.name = "url",
        .exposure = Exposure::plain_url,
        .read = &Reader::repository_url,
        .print = [](const Settings& settings,
                    std::size_t row) { return Value{repository(settings, row).url}; },
        .is_required = true},
    Key{.name = "suite",
        .read = &Reader::repository_suite,
        .print = [](const Settings& settings,
                    std::size_t row) { return Value{repository(settings, row).suite}; },
        .is_required = true},
    Key{.name = "components",
        .type = KeyType::strings,
        .read = &Reader::repository_components,
        .print = [](const Settings& settings,
                    std::size_t row) { return list_of(repository(settings, row).components); }},
    Key{.name = "key",
        .exposure = Exposure::guarded,
        .read = &Reader::repository_key,
        .print = [](const Settings& settings,
                    std::size_t row) { return text_or_nothing(repository(settings, row).key); }},
    Key{.name = "keyring",
        .read = &Reader::repository_keyring,
        .print = [](const Settings& settings, std::size_t row) {
            return text_or_nothing(repository(settings, row).keyring);
        }}};
constexpr std::array python_keys{
    Key{.name = "accept_terms",
        .type = KeyType::boolean,
        .read = &Reader::python_accept_terms,
        .print = [](const Settings& settings,
                    std::size_t) { return Value{settings.python.accept_terms}; }},
    Key{.name = "channels",
        .type = KeyType::strings,
        .read = &Reader::python_channels,
        .print = [](const Settings& settings,
                    std::size_t) { return list_of(settings.python.channels); }},
    Key{.name = "conda_packages",
        .type = KeyType::strings,
        .read = &Reader::python_conda_packages,
        .print = [](const Settings& settings,
                    std::size_t) { return list_of(settings.python.conda_packages); }},
    Key{.name = "constraints",
        .read = &Reader::python_constraints,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.python.constraints); }},
    Key{.name = "environment_file",
        .read = &Reader::python_environment_file,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.python.environment_file); }},
    Key{.name = "index_url",
        .exposure = Exposure::plain_url,
        .read = &Reader::python_index_url,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.python.index_url); }},
    Key{.name = "installer",
        .exposure = Exposure::plain_url,
        .read = &Reader::python_installer,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.python.installer); }},
    Key{.name = "kind",
        .read = &Reader::python_kind,
        .print = [](const Settings& settings,
                    std::size_t) { return Value{std::string{name_of(settings.python.kind)}}; }},
    Key{.name = "packages",
        .type = KeyType::strings,
        .read = &Reader::python_packages,
        .print = [](const Settings& settings,
                    std::size_t) { return list_of(settings.python.packages); }},
    Key{.name = "prefix",
        .read = &Reader::python_prefix,
        .print = [](const Settings& settings,
                    std::size_t) { return Value{settings.python.prefix.string()}; }},
    Key{.name = "requirements",
        .read = &Reader::python_requirements,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.python.requirements); }},
    Key{.name = "sha256",
        .read = &Reader::python_sha256,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.python.sha256); }},
    Key{.name = "version",
        .read = &Reader::python_version,
        .print = [](const Settings& settings, std::size_t) {
            return text_or_nothing(settings.python.version);
        }}};
constexpr std::array index_keys{
    Key{.name = "name",
        .read = &Reader::index_name,
        .print = [](const Settings& settings,
                    std::size_t row) { return Value{python_index(settings, row).name}; },
        .is_required = true},
    Key{.name = "url",
        .exposure = Exposure::plain_url,
        .read = &Reader::index_url,
        .print = [](const Settings& settings,
                    std::size_t row) { return Value{python_index(settings, row).url}; },
        .is_required = true},
    Key{.name = "packages",
        .type = KeyType::strings,
        .read = &Reader::index_packages,
        .print = [](const Settings& settings,
                    std::size_t row) { return list_of(python_index(settings, row).packages); },
        .is_required = true}};
constexpr std::array environment_keys{
    Key{.name = "name",
        .read = &Reader::environment_name,
        .print = [](const Settings& settings,
                    std::size_t row) { return Value{python_environment(settings, row).name}; },
        .is_required = true},
    Key{.name = "version",
        .read = &Reader::environment_version,
        .print =
            [](const Settings& settings, std::size_t row) {
                return text_or_nothing(python_environment(settings, row).version);
            }},
    Key{.name = "packages",
        .type = KeyType::strings,
        .read = &Reader::environment_packages,
        .print =
            [](const Settings& settings, std::size_t row) {
                return list_of(python_environment(settings, row).packages);
            }},
    Key{.name = "requirements",
        .read = &Reader::environment_requirements,
        .print =
            [](const Settings& settings, std::size_t row) {
                return text_or_nothing(python_environment(settings, row).requirements);
            }},
    Key{.name = "constraints",
        .read = &Reader::environment_constraints,
        .print =
            [](const Settings& settings, std::size_t row) {
                return text_or_nothing(python_environment(settings, row).constraints);
            }},
    Key{.name = "conda_packages",
        .type = KeyType::strings,
        .read = &Reader::environment_conda_packages,
        .print =
            [](const Settings& settings, std::size_t row) {
                return list_of(python_environment(settings, row).conda_packages);
            }},
    Key{.name = "channels",
        .type = KeyType::strings,
        .read = &Reader::environment_channels,
        .print =
            [](const Settings& settings, std::size_t row) {
                return list_of(python_environment(settings, row).channels);
            }},
    Key{.name = "environment_file",
        .read = &Reader::environment_environment_file,
        .print = [](const Settings& settings, std::size_t row) {
            return text_or_nothing(python_environment(settings, row).environment_file);
        }}};
constexpr std::array jupyter_keys{
    Key{.name = "allow_sudo",
        .type = KeyType::boolean,
        .read = &Reader::jupyter_allow_sudo,
        .print = [](const Settings& settings,
                    std::size_t) { return Value{settings.jupyter.allow_sudo}; }},
    Key{.name = "directory",
        .read = &Reader::jupyter_directory,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.jupyter.directory); }},
    Key{.name = "interface",
        .read = &Reader::jupyter_interface,
        .print =
            [](const Settings& settings, std::size_t) {
                const bool lab = settings.jupyter.interface == JupyterInterface::lab;
                return Value{lab ? "lab" : "notebook"};
            }},
    Key{.name = "password_hash",
        .exposure = Exposure::secret,
        .read = &Reader::jupyter_password_hash,
        .print = [](const Settings& settings,
                    std::size_t) { return text_or_nothing(settings.jupyter.password_hash); }},
    Key{.name = "port",
        .type = KeyType::integer,
        .read = &Reader::jupyter_port,
        .print = [](const Settings& settings,
                    std::size_t) { return Value{std::int64_t{settings.jupyter.port}}; },
        .example = "8888"}};
constexpr std::array limits_keys{
    Key{.name = "grace",
        .read = &Reader::limits_grace,
        .print = [](const Settings& settings,
                    std::size_t) { return Value{short_duration(settings.limits.grace)}; }},
    Key{.name = "lifetime",
        .read = &Reader::limits_lifetime,
        .print =
            [](const Settings& settings, std::size_t) {
                const auto& lifetime = settings.limits.lifetime;
                return lifetime ? Value{short_duration(*lifetime)} : Value{};
            }},
    Key{.name = "on_failure",
        .read = &Reader::limits_on_failure,
        .print =
            [](const Settings& settings, std::size_t) {
                const bool stop = settings.limits.on_failure == OnFailure::stop;
                return Value{stop ? "stop" : "keep"};
            }},
    Key{.name = "person",
        .read = &Reader::limits_person,
        .print = [](const Settings& settings,
                    std::size_t) { return Value{short_duration(settings.limits.person)}; }},
    Key{.name = "setup",
        .read = &Reader::limits_setup,
        .print = [](const Settings& settings, std::size_t) {
            return Value{short_duration(settings.limits.setup)};
        }}};
constexpr std::array tls_keys{Key{
    .name = "names",
    .type = KeyType::strings,
    .read = &Reader::tls_names,
    .print = [](const Settings& settings, std::size_t) { return list_of(settings.tls.names); }}};
constexpr std::array report_keys{Key{.name = "guest_attributes",
                                     .type = KeyType::boolean,
                                     .read = &Reader::guest_attributes,
                                     .print = [](const Settings& settings, std::size_t) {
                                         return Value{settings.report.guest_attributes};
                                     }}};

// An array of tables stands behind the table that it lies in.
constexpr std::array tables{
    Table{"apt", apt_keys},
    Table{"apt.repository",
          repository_keys,
          {.clear = &Reader::clear_repositories,
           .begin = &Reader::begin_repository,
           .finish = &Reader::finish_repository,
           .count = [](const Settings& settings) { return settings.apt.repositories.size(); }}},
    Table{"jupyter", jupyter_keys},
    Table{"limits", limits_keys},
    Table{"machine", machine_keys},
    Table{"metadata", metadata_keys},
    Table{"network", network_keys},
    Table{"python", python_keys},
    Table{"python.index",
          index_keys,
          {.clear = &Reader::clear_indexes,
           .begin = &Reader::begin_index,
           .finish = &Reader::finish_index,
           .count = [](const Settings& settings) { return settings.python.indexes.size(); }}},
    Table{"python.environment",
          environment_keys,
          {.clear = &Reader::clear_environments,
           .begin = &Reader::begin_environment,
           .finish = &Reader::finish_environment,
           .count = [](const Settings& settings) { return settings.python.environments.size(); }}},
    Table{"report", report_keys},
    Table{"tls", tls_keys}};

// What is printed of a key: a secret only as far as that there is one.
Value printed(const Key& key, const Settings& settings, std::size_t row) {
    Value value = key.print(settings, row);
    const bool is_set = !std::holds_alternative<std::nullptr_t>(value.data);
    return is_set && key.exposure == Exposure::secret ? Value{std::string{mask}} : value;
}

// The names of what may stand in a table ("": in the document): keys, then tables in it.
std::vector<std::string_view> names_in(std::string_view table, std::span<const Key> keys) {
    std::vector<std::string_view> names;
    for (const Key& key : keys)
        names.push_back(key.name);
    for (const Table& one : tables)
        if (one.parent() == table)
            names.push_back(one.last_name());
    std::sort(names.begin(), names.end());
    return names;
}

std::string listed(const std::vector<std::string_view>& names) {
    const std::vector<std::string> list{names.begin(), names.end()};
    return join(list, ", ");
}

std::string near(std::string_view word, const std::vector<std::string_view>& names) {
    std::string plain = lower(word);
    std::replace(plain.begin(), plain.end(), '-', '_');
    const std::string found = nearest(plain, names);
    return found.empty() ? found : "did you mean `" + found + "`? ";
}

// Where else a key of this name belongs. The keys of an array's elements have names of every day.
const Table* home_of(std::string_view key) {
    for (const Table& table : tables)
        if (!table.is_array() && find(table.keys, key))
            return &table;
    return nullptr;
}

// Reporting.

bool Reader::is_full() {
    if (shown_ < diagnostic_limit)
        return false;
    ++more_;
    return true;
}

void Reader::report(Position position, rules::Complaint complaint, Severity severity) {
    taken_ = taken_ && severity != Severity::error;
    if (is_full())
        return;
    ++shown_;
    draft_.found.push_back({index_,
                            {source_.name,
                             position,
                             token_width(source_.text, position),
                             std::string{complaint.code},
                             path_,
                             std::move(complaint.message),
                             std::move(complaint.label),
                             std::move(complaint.hint),
                             severity}});
}

void Reader::note(const std::string& path, ConfigDraft::Said said) {
    said.source = index_;
    draft_.said[path].push_back(std::move(said));
}

void Reader::forget_elements(std::string_view table) {
    const std::string prefix = std::string{table} + "[";
    std::erase_if(draft_.said, [&](const auto& one) { return one.first.starts_with(prefix); });
}

// Tables.

void Reader::read(const Value::Object& document) {
    const auto version = std::find_if(document.begin(), document.end(), [](const auto& member) {
        return member.key == "schema";
    });
    // What a newer schema means by its keys is not known here.
    if (version != document.end() && version->value.as_integer() &&
        *version->value.as_integer() > newest_schema) {
        path_ = "schema";
        schema(version->value);
        return;
    }
    for (const Value::Member& member : document) {
        path_ = member.key;
        if (const Table* table = find(tables, member.key))
            read_table(*table, member);
        else if (const Key* key = find(document_keys, member.key))
            read_key(*key, member);
        else
            unknown_in_document(member);
    }
    if (more_ == 0)
        return;
    Diagnostic last;
    last.source = source_.name;
    last.code = code::too_many_errors;
    last.message = "too many errors: " + std::to_string(more_) + " more are not shown";
    last.position = {static_cast<std::uint32_t>(-1), 0}; // behind all the others
    draft_.found.push_back({index_, std::move(last)});
}

void Reader::read_table(const Table& table, const Value::Member& member) {
    if (table.is_array())
        return read_elements(table, member);
    const Value::Object* object = member.value.as_object();
    const std::string name{table.name};
    if (!object)
        return complain(
            member,
            {code::wrong_type,
             "`" + name + "`: expected a table, found " + article(member.value.type_name()),
             "expected [" + name + "]",
             is_tables(member.value)
                 ? "write [" + name + "] once, in single brackets"
                 : "write [" + name + "] on a line of its own, and its keys below it"});
    read_members(table, *object);
}

void Reader::read_members(const Table& table, const Value::Object& object) {
    const std::string base = path_;
    for (const Value::Member& member : object) {
        path_ = base + "." + printable(member.key, 60);
        const std::string inner = std::string{table.name} + "." + member.key;
        if (const Table* nested = find(tables, inner)) {
            read_table(*nested, member);
        } else if (const Key* key = find(table.keys, member.key)) {
            read_key(*key, member);
            present_.insert_or_assign(std::string{key->name}, Present{member.key_position, taken_});
        } else {
            unknown_in_table(table, member);
        }
    }
    path_ = base;
}

void Reader::read_elements(const Table& table, const Value::Member& member) {
    const Value::Array* array = member.value.as_array();
    const std::string name{table.name};
    const auto expected = [&](const auto& where, const std::string& found) {
        complain(where,
                 {code::wrong_type,
                  "`" + path_ + "`: expected tables, found " + found,
                  "expected " + table.heading(),
                  "write " + table.heading() + ", in double brackets, above the keys of each"});
    };
    if (!array)
        return expected(member, article(member.value.type_name()));
    if (array->size() > element_limit)
        return complain(member,
                        {code::too_long,
                         "`" + path_ + "`: " + std::to_string(array->size()) +
                             " tables are more than " + std::to_string(element_limit),
                         "too many",
                         {}});
    (this->*table.elements.clear)();
    forget_elements(table.name);
    for (std::size_t i = 0; i < array->size(); ++i) {
        const Value& element = (*array)[i];
        path_ = name + "[" + std::to_string(i) + "]";
        row_ = i;
        (this->*table.elements.begin)();
        const Value::Object* object = element.as_object();
        if (!object) {
            expected(element, article(element.type_name()));
            continue;
        }
        present_.clear();
        note(path_, {.position = element.position, .value_position = element.position});
        read_members(table, *object);
        for (const Key& key : table.keys)
            if (key.is_required && !present_.contains(key.name))
                complain(element,
                         {code::missing_key,
                          "`" + path_ + "." + std::string{key.name} + "` is missing",
                          "without `" + std::string{key.name} + "`",
                          "every " + table.heading() + " needs one"});
        (this->*table.elements.finish)(element);
    }
    path_ = name;
    note(path_,
         {.position = member.key_position,
          .value_position = member.value.position,
          .value = Value{static_cast<std::int64_t>(array->size())}});
}

void Reader::read_key(const Key& key, const Value::Member& member) {
    taken_ = true;
    if (!is_of_type(member.value, key.type))
        return wrong_type(key, member.value);
    (this->*key.read)(member.value);
    if (taken_)
        note(path_,
             {.position = member.key_position,
              .value_position = member.value.position,
              .value = printed(key, settings_, row_),
              .is_comparable = key.exposure != Exposure::secret});
}

// Names.

bool is_plaintext_key(std::string_view key) {
    constexpr std::array<std::string_view, 8> names{
        "password", "passwd", "passphrase", "pwd", "pass", "token", "secret", "passwort"};
    const std::string name = lower(key);
    return std::find(names.begin(), names.end(), name) != names.end();
}

bool Reader::refused_as_plaintext(const Value::Member& member) {
    if (!is_plaintext_key(member.key))
        return false;
    complain(member,
             {code::plaintext,
              "`" + path_ + "`: a password is never written into the configuration",
              "only its hash is",
              "`agent password` reads a password and prints the hash for jupyter.password_hash"});
    return true;
}

void Reader::unknown_in_table(const Table& table, const Value::Member& member) {
    if (is_full())
        return;
    if (refused_as_plaintext(member))
        return;
    const auto names = names_in(table.name, table.keys);
    std::string hint = near(member.key, names);
    if (const Table* home = home_of(member.key); hint.empty() && home)
        hint = "it belongs to " + home->heading() + "; ";
    const bool is_table = member.value.as_object() || is_tables(member.value);
    complain(member,
             {is_table ? code::unknown_table : code::unknown_key,
              is_table ? "unknown table [" + path_ + "]" : "unknown key `" + path_ + "`",
              "not a key of " + table.heading(),
              hint + "keys of " + table.heading() + ": " + listed(names)});
}

void Reader::unknown_in_document(const Value::Member& member) {
    path_ = printable(member.key, 60);
    if (is_full())
        return;
    if (refused_as_plaintext(member))
        return;
    const bool is_table = member.value.as_object() || is_tables(member.value);
    const Table* home = is_table ? nullptr : home_of(member.key);
    std::string hint = home ? "it belongs to " + home->heading() + "; "
                            : near(member.key, names_in({}, document_keys));
    hint += "tables: " + listed(names_in({}, {}));
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

void Reader::wrong_type(const Value& value, const std::string& expected, std::string hint) {
    complain(
        value,
        {code::wrong_type,
         "`" + path_ + "`: expected " + article(expected) + ", found " + article(value.type_name()),
         "found " + article(value.type_name()),
         std::move(hint)});
}

void Reader::wrong_type(const Key& key, const Value& value) {
    const bool is_container = value.as_array() || value.as_object();
    std::string hint;
    switch (key.type) {
    case KeyType::string:
        if (key.exposure == Exposure::secret)
            hint = "`agent password` reads a password and prints the hash to write here";
        else if (!is_container)
            hint = "put it in quotes: \"…\"";
        break;
    case KeyType::integer:
        hint = "write a whole number without quotes: " + std::string{key.name} + " = " +
               std::string{key.example};
        break;
    case KeyType::boolean:
        hint = "write true or false, in lower case and without quotes";
        break;
    case KeyType::strings:
        if (value.as_string())
            hint = "put it in brackets: [\"…\"]";
        break;
    }
    wrong_type(value, name_of(key.type), std::move(hint));
}

const std::string* Reader::text_of(const Value& value) {
    const std::string* text = value.as_string();
    if (!text)
        wrong_type(value,
                   "string",
                   value.as_array() || value.as_object() ? "" : "put it in quotes: \"…\"");
    return text;
}

bool Reader::accepted(const Value& value, rules::Verdict verdict) {
    if (const std::string* text = value.as_string(); text && rules::holds_private_key(*text))
        verdict = rules::private_key_complaint();
    if (!verdict)
        return true;
    verdict->message.insert(0, "`" + path_ + "`: ");
    complain(value, std::move(*verdict));
    return false;
}

// Calls `take` for each string of an array, with path_ naming it; false when it is too long.
template <class Take> bool Reader::each_entry(const Value& value, Take take) {
    const Value::Array& array = *value.as_array();
    if (array.size() > entry_limit) {
        complain(value,
                 {code::too_long,
                  "`" + path_ + "`: " + std::to_string(array.size()) + " entries are more than " +
                      std::to_string(entry_limit),
                  "too many entries",
                  {}});
        return false;
    }
    const std::string path = path_;
    for (std::size_t i = 0; i < array.size(); ++i) {
        path_ = path + "[" + std::to_string(i) + "]";
        const Value& entry = array[i];
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

bool Reader::is_new(FirstSeen& seen, const std::string& name, const Value& entry) {
    const auto [first, added] = seen.emplace(name, entry.position);
    if (!added)
        complain(entry,
                 {code::repeated_entry,
                  "`" + path_ + "`: " + rules::shown(name) + " is listed twice: first at " +
                      place_in_words(first->second),
                  "listed again here",
                  "keep one of the two"});
    return added;
}

template <class Choice>
void Reader::choose(const Value& value,
                    std::span<const std::pair<std::string_view, Choice>> choices,
                    Choice& chosen) {
    const std::string& text = *value.as_string();
    std::vector<std::string_view> names;
    std::string options;
    for (const auto& [name, choice] : choices) {
        if (name == text) {
            chosen = choice;
            return;
        }
        names.push_back(name);
        options += (options.empty() ? "\"" : " or \"") + std::string{name} + "\"";
    }
    complain(value,
             {code::choice,
              "`" + path_ + "`: expected " + options + ", found " + rules::shown(text),
              "not one of them",
              near(text, names) + "write " + options});
}

// Keys.

void Reader::schema(const Value& value) {
    const std::int64_t number = *value.as_integer();
    if (number >= oldest_schema && number <= newest_schema)
        return;
    const std::string range =
        oldest_schema == newest_schema
            ? "schema " + std::to_string(newest_schema)
            : "schemas " + std::to_string(oldest_schema) + " to " + std::to_string(newest_schema);
    const bool newer = number > newest_schema;
    complain(value,
             {code::schema,
              "`schema`: this agent reads " + range + ", and this is the " +
                  (newer ? "newer" : "older") + " schema " + std::to_string(number),
              newer ? "newer than this agent" : "not supported",
              (newer ? "upgrade the agent, or write schema = " : "write schema = ") +
                  std::to_string(newest_schema)});
}

void Reader::user(const Value& value) {
    take_text(value, rules::judge_user, settings_.machine.user);
}

void Reader::project_config(const Value& value) {
    if (source_.name != project_source) {
        settings_.metadata.project_config = *value.as_bool();
        return;
    }
    taken_ = false;
    warn(value,
         {code::not_the_projects,
          "`" + path_ + "`: the project's configuration cannot say whether it counts",
          "not taken here",
          "a file, a drop-in or the instance's agent-config says it"});
}

void Reader::proxy(const Value& value) {
    take_text(value, rules::judge_proxy, settings_.network.proxy);
}

void Reader::no_proxy(const Value& value) {
    FirstSeen seen;
    std::vector<std::string> names;
    const auto take = [&](const Value& entry, const std::string& text) {
        if (accepted(entry, rules::judge_no_proxy(text)) && is_new(seen, lower(text), entry))
            names.push_back(text);
    };
    if (each_entry(value, take))
        settings_.network.no_proxy = std::move(names);
}

void Reader::ca_certificates(const Value& value) {
    take_text(value, rules::judge_ca_certificates, settings_.network.ca_certificates);
}

void Reader::apt_packages(const Value& value) {
    FirstSeen seen;
    std::vector<std::string> packages;
    const auto take = [&](const Value& entry, const std::string& text) {
        if (!accepted(entry, rules::judge_apt_package(text)))
            return;
        // A list that is passed on often has a name twice; of two different entries none is right.
        if (std::find(packages.begin(), packages.end(), text) != packages.end())
            warn(entry,
                 {code::repeated_package,
                  "`" + path_ + "`: " + rules::shown(text) + " is listed twice: first at " +
                      place_in_words(seen.at(text.substr(0, text.find('=')))),
                  "listed again here",
                  "one of the two is enough"});
        else if (is_new(seen, text.substr(0, text.find('=')), entry))
            packages.push_back(text);
    };
    if (each_entry(value, take))
        settings_.apt.packages = std::move(packages);
}

void Reader::clear_repositories() {
    settings_.apt.repositories.clear();
}

void Reader::begin_repository() {
    settings_.apt.repositories.emplace_back();
}

void Reader::finish_repository(const Value& element) {
    const Settings::AptRepository& made = settings_.apt.repositories.back();
    const auto has = [&](std::string_view key) { return present_.contains(key); };
    const auto at = [&](std::string_view key) { return present_.find(key)->second.position; };
    const auto is_later = [](Position a, Position b) {
        return std::pair{a.line, a.column} > std::pair{b.line, b.column};
    };
    if (!has("key") && !has("keyring"))
        complain(element,
                 {code::missing_key,
                  "`" + path_ +
                      "`: neither `key` nor `keyring` is there, and what no key signs "
                      "is not installed",
                  "without a signing key",
                  "write the armoured public key as `key`, or where a keyring lies as `keyring`"});
    if (has("key") && has("keyring"))
        report(is_later(at("key"), at("keyring")) ? at("key") : at("keyring"),
               {code::contradiction,
                "`" + path_ + "`: `key` is at " + place_in_words(at("key")) + " and `keyring` at " +
                    place_in_words(at("keyring")),
                "one too many",
                "keep one of the two"},
               Severity::error);
    if (made.suite.empty())
        return;
    const bool is_flat = made.suite.ends_with('/');
    if (is_flat && !made.components.empty())
        report(at("components"),
               {code::contradiction,
                "`" + path_ + "`: a suite that ends in `/` has no components",
                "not with this suite",
                "remove `components`, or the `/` at the end of `suite`"},
               Severity::error);
    if (!is_flat && made.components.empty() && !has("components"))
        complain(element,
                 {code::missing_key,
                  "`" + path_ + ".components` is missing",
                  "without `components`",
                  "such as components = [\"main\"]; only a suite that ends in `/` has none"});
    else if (!is_flat && made.components.empty() && present_.find("components")->second.taken)
        report(at("components"),
               {code::missing_key,
                "`" + path_ + ".components` names none",
                "empty",
                "such as components = [\"main\"]; only a suite that ends in `/` has none"},
               Severity::error);
}

void Reader::repository_name(const Value& value) {
    const std::string& name = *value.as_string();
    if (accepted(value, rules::judge_repository_name(name)) &&
        is_new(repository_names_, name, value))
        settings_.apt.repositories.back().name = name;
}

void Reader::repository_url(const Value& value) {
    take_text(value, rules::judge_repository_url, settings_.apt.repositories.back().url);
}

void Reader::repository_suite(const Value& value) {
    take_text(value, rules::judge_suite, settings_.apt.repositories.back().suite);
}

void Reader::repository_components(const Value& value) {
    FirstSeen seen;
    std::vector<std::string> components;
    const auto take = [&](const Value& entry, const std::string& text) {
        if (accepted(entry, rules::judge_component(text)) && is_new(seen, text, entry))
            components.push_back(text);
    };
    if (each_entry(value, take))
        settings_.apt.repositories.back().components = std::move(components);
}

void Reader::repository_key(const Value& value) {
    take_text(value, rules::judge_signing_key, settings_.apt.repositories.back().key);
}

void Reader::repository_keyring(const Value& value) {
    take_text(value, rules::judge_keyring, settings_.apt.repositories.back().keyring);
}

void Reader::python_kind(const Value& value) {
    static constexpr std::array<std::pair<std::string_view, PythonKind>, 4> kinds{
        {{name_of(PythonKind::anaconda), PythonKind::anaconda},
         {name_of(PythonKind::miniforge), PythonKind::miniforge},
         {name_of(PythonKind::venv), PythonKind::venv},
         {name_of(PythonKind::none), PythonKind::none}}};
    choose<PythonKind>(value, kinds, settings_.python.kind);
}

void Reader::python_installer(const Value& value) {
    take_text(value, rules::judge_installer, settings_.python.installer);
}

void Reader::python_sha256(const Value& value) {
    if (accepted(value, rules::judge_sha256(*value.as_string())))
        settings_.python.sha256 = lower(*value.as_string());
}

void Reader::python_accept_terms(const Value& value) {
    settings_.python.accept_terms = *value.as_bool();
}

void Reader::take_conda_packages(const Value& value, std::vector<std::string>& packages) {
    FirstSeen seen;
    std::vector<std::string> list;
    const auto take = [&](const Value& entry, const std::string& text) {
        const auto read = rules::read_conda_spec(text);
        if (const auto* complaint = std::get_if<rules::Complaint>(&read)) {
            accepted(entry, *complaint);
            return;
        }
        const auto& spec = std::get<rules::CondaSpec>(read);
        if (is_new(seen, spec.name, entry))
            list.push_back(spec.text);
    };
    if (each_entry(value, take))
        packages = std::move(list);
}

void Reader::python_conda_packages(const Value& value) {
    take_conda_packages(value, settings_.python.conda_packages);
}

void Reader::take_channels(const Value& value, std::vector<std::string>& channels) {
    FirstSeen seen;
    std::vector<std::string> list;
    const auto take = [&](const Value& entry, const std::string& text) {
        if (accepted(entry, rules::judge_channel(text)) && is_new(seen, text, entry))
            list.push_back(text);
    };
    if (each_entry(value, take))
        channels = std::move(list);
}

void Reader::python_channels(const Value& value) {
    take_channels(value, settings_.python.channels);
}

void Reader::python_environment_file(const Value& value) {
    take_text(value, rules::judge_environment_file, settings_.python.environment_file);
}

void Reader::python_prefix(const Value& value) {
    take_text(value, rules::judge_prefix, settings_.python.prefix);
}

void Reader::take_requirements(const Value& value, std::vector<std::string>& packages) {
    FirstSeen seen;
    std::vector<std::string> list;
    const auto take = [&](const Value& entry, const std::string& text) {
        const auto read = rules::read_requirement(text);
        if (const auto* complaint = std::get_if<rules::Complaint>(&read)) {
            accepted(entry, *complaint);
            return;
        }
        const auto& requirement = std::get<rules::Requirement>(read);
        // The same name may stand there for one Python and for another.
        const std::string once =
            requirement.name + (requirement.marker.empty() ? "" : "; " + requirement.marker);
        if (is_new(seen, once, entry))
            list.push_back(requirement.text);
    };
    if (each_entry(value, take))
        packages = std::move(list);
}

void Reader::python_packages(const Value& value) {
    take_requirements(value, settings_.python.packages);
}

void Reader::python_index_url(const Value& value) {
    take_text(value, rules::judge_index_url, settings_.python.index_url);
}

void Reader::python_version(const Value& value) {
    take_text(value, rules::judge_python_version, settings_.python.version);
}

void Reader::python_requirements(const Value& value) {
    take_text(value, rules::judge_requirements_file, settings_.python.requirements);
}

void Reader::python_constraints(const Value& value) {
    take_text(value, rules::judge_requirements_file, settings_.python.constraints);
}

void Reader::clear_indexes() {
    settings_.python.indexes.clear();
}

void Reader::begin_index() {
    settings_.python.indexes.emplace_back();
}

void Reader::finish_index(const Value& element) {
    const auto packages = present_.find("packages");
    if (packages == present_.end() || !packages->second.taken ||
        !settings_.python.indexes.back().packages.empty())
        return;
    complain(element,
             {code::missing_key,
              "`" + path_ + ".packages` names none",
              "for no package",
              "name those that come from this index, such as packages = [\"torch\"]"});
}

void Reader::index_name(const Value& value) {
    const std::string& name = *value.as_string();
    if (accepted(value, rules::judge_index_name(name)) && is_new(index_names_, name, value))
        settings_.python.indexes.back().name = name;
}

void Reader::index_url(const Value& value) {
    take_text(value, rules::judge_index_url, settings_.python.indexes.back().url);
}

void Reader::index_packages(const Value& value) {
    std::vector<std::string> packages;
    const auto take = [&](const Value& entry, const std::string& text) {
        if (!accepted(entry, rules::judge_plain_package(text)))
            return;
        const auto read = rules::read_requirement(text);
        const std::string& name = std::get<rules::Requirement>(read).name;
        if (is_new(tied_packages_, name, entry))
            packages.push_back(name);
    };
    if (each_entry(value, take))
        settings_.python.indexes.back().packages = std::move(packages);
}

void Reader::clear_environments() {
    settings_.python.environments.clear();
}

void Reader::begin_environment() {
    settings_.python.environments.emplace_back();
}

void Reader::finish_environment(const Value&) {}

void Reader::environment_name(const Value& value) {
    const std::string& name = *value.as_string();
    if (accepted(value, rules::judge_environment_name(name)) &&
        is_new(environment_names_, name, value))
        settings_.python.environments.back().name = name;
}

void Reader::environment_version(const Value& value) {
    take_text(value, rules::judge_python_version, settings_.python.environments.back().version);
}

void Reader::environment_packages(const Value& value) {
    take_requirements(value, settings_.python.environments.back().packages);
}

void Reader::environment_requirements(const Value& value) {
    take_text(
        value, rules::judge_requirements_file, settings_.python.environments.back().requirements);
}

void Reader::environment_conda_packages(const Value& value) {
    take_conda_packages(value, settings_.python.environments.back().conda_packages);
}

void Reader::environment_channels(const Value& value) {
    take_channels(value, settings_.python.environments.back().channels);
}

void Reader::environment_environment_file(const Value& value) {
    take_text(value,
              rules::judge_environment_file,
              settings_.python.environments.back().environment_file);
}

void Reader::environment_constraints(const Value& value) {
    take_text(
        value, rules::judge_requirements_file, settings_.python.environments.back().constraints);
}

void Reader::jupyter_interface(const Value& value) {
    static constexpr std::array<std::pair<std::string_view, JupyterInterface>, 2> interfaces{
        {{"lab", JupyterInterface::lab}, {"notebook", JupyterInterface::notebook}}};
    choose<JupyterInterface>(value, interfaces, settings_.jupyter.interface);
}

void Reader::jupyter_directory(const Value& value) {
    take_text(value, rules::judge_directory, settings_.jupyter.directory);
}

void Reader::jupyter_port(const Value& value) {
    const std::int64_t number = *value.as_integer();
    constexpr std::int64_t https = 443;
    constexpr std::int64_t lowest = 1024;
    constexpr std::int64_t highest = 65535;
    if (number == https || (number >= lowest && number <= highest))
        settings_.jupyter.port = static_cast<std::uint16_t>(number);
    else
        complain(value,
                 {code::range,
                  "`" + path_ + "`: expected 443 or 1024 to 65535, found " + std::to_string(number),
                  "not a port for Jupyter",
                  number == 22 ? "22 is SSH's" : "write 443, or one such as 8888"});
}

void Reader::jupyter_password_hash(const Value& value) {
    take_text(value, rules::judge_password_hash, settings_.jupyter.password_hash);
}

void Reader::jupyter_allow_sudo(const Value& value) {
    settings_.jupyter.allow_sudo = *value.as_bool();
    if (settings_.jupyter.allow_sudo)
        warn(value,
             {code::sudo_allowed,
              "`" + path_ + "`: notebooks can become root",
              "opens the machine",
              "whoever gets into Jupyter gets root: sudo works in notebooks and terminals, and "
              "the hardening of Jupyter's service is lifted"});
}

void Reader::limits_setup(const Value& value) {
    take_duration(value, setup_rule, settings_.limits.setup);
}

void Reader::limits_person(const Value& value) {
    take_duration(value, person_rule, settings_.limits.person);
}

void Reader::limits_on_failure(const Value& value) {
    static constexpr std::array<std::pair<std::string_view, OnFailure>, 2> choices{
        {{"keep", OnFailure::keep}, {"stop", OnFailure::stop}}};
    choose<OnFailure>(value, choices, settings_.limits.on_failure);
}

void Reader::limits_grace(const Value& value) {
    take_duration(value, grace_rule, settings_.limits.grace);
}

void Reader::limits_lifetime(const Value& value) {
    take_duration(value, lifetime_rule, settings_.limits.lifetime);
}

void Reader::tls_names(const Value& value) {
    FirstSeen seen;
    std::vector<std::string> names;
    const auto take = [&](const Value& entry, const std::string& text) {
        if (accepted(entry, rules::judge_tls_name(text)) && is_new(seen, lower(text), entry))
            names.push_back(text);
    };
    if (each_entry(value, take))
        settings_.tls.names = std::move(names);
}

void Reader::guest_attributes(const Value& value) {
    settings_.report.guest_attributes = *value.as_bool();
}

// What the sources said of one key, made into what is shown of it.
class Merger {
public:
    Merger(const ConfigDraft& draft, std::span<const ConfigSource> sources)
        : draft_{draft}, sources_{sources} {}

    [[nodiscard]] std::vector<MergedTable> merge() const {
        std::vector<MergedTable> merged{plain({}, document_keys)};
        for (const Table& table : tables) {
            if (!table.is_array()) {
                merged.push_back(plain(table.name, table.keys));
                continue;
            }
            for (std::size_t row = 0; row < table.elements.count(draft_.settings); ++row)
                merged.push_back(element(table, row));
        }
        return merged;
    }

private:
    [[nodiscard]] MergedTable plain(std::string_view name, std::span<const Key> keys) const {
        MergedTable table{.name = std::string{name}};
        const std::string base = name.empty() ? "" : std::string{name} + ".";
        for (const Key& key : keys)
            table.keys.push_back(merged(base + std::string{key.name}, key, 0));
        for (const Table& inner : tables)
            if (inner.is_array() && inner.parent() == name &&
                inner.elements.count(draft_.settings) == 0) {
                MergedKey none = merged(std::string{inner.name}, inner.last_name());
                none.value = Value{Value::Array{}};
                table.keys.push_back(std::move(none));
            }
        return table;
    }

    [[nodiscard]] MergedTable element(const Table& table, std::size_t row) const {
        const std::string path = std::string{table.name} + "[" + std::to_string(row) + "]";
        const MergedKey header = merged(path, table.last_name());
        MergedTable made{.name = std::string{table.name}, .index = row, .place = header.place};
        if (row == 0)
            made.overruled = merged(std::string{table.name}, table.last_name()).overruled;
        for (const Key& key : table.keys)
            made.keys.push_back(merged(path + "." + std::string{key.name}, key, row));
        return made;
    }

    [[nodiscard]] MergedKey merged(const std::string& path, const Key& key, std::size_t row) const {
        MergedKey made = merged(path, key.name);
        made.value = printed(key, draft_.settings, row);
        return made;
    }

    [[nodiscard]] MergedKey merged(const std::string& path, std::string_view name) const {
        MergedKey made{.name = std::string{name}};
        const auto found = draft_.said.find(path);
        if (found == draft_.said.end())
            return made;
        const auto& said = found->second;
        made.place = place(said.back());
        for (auto earlier = said.rbegin() + 1; earlier != said.rend(); ++earlier)
            if (!says_the_same(*earlier, said.back()))
                made.overruled.push_back({earlier->value, place(*earlier)});
        return made;
    }

    static bool says_the_same(const ConfigDraft::Said& one, const ConfigDraft::Said& other) {
        return one.is_comparable && write_json(one.value) == write_json(other.value);
    }

    [[nodiscard]] MergedKey::Place place(const ConfigDraft::Said& said) const {
        return {sources_[said.source].name, said.position};
    }

    const ConfigDraft& draft_;
    std::span<const ConfigSource> sources_;
};

} // namespace

void read_document(const ConfigSource& source,
                   std::size_t index,
                   const Value::Object& document,
                   ConfigDraft& draft) {
    Reader{source, index, draft}.read(document);
}

std::vector<MergedTable> merge(const ConfigDraft& draft, std::span<const ConfigSource> sources) {
    return Merger{draft, sources}.merge();
}

std::string place_in_words(Position position) {
    return "line " + std::to_string(position.line) + ", column " + std::to_string(position.column);
}

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
    const std::string_view line = text;
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
    const bool is_header = quote == '[' && trim(line).size() == trim(text).size();
    if (text.starts_with("\"\"\"") || text.starts_with("'''")) {
        end = 3;
    } else if (quote == '"' || quote == '\'') {
        while (end < text.size() && text[end] != quote)
            end += quote == '"' && text[end] == '\\' ? 2 : 1;
        end = std::min(end + 1, text.size());
    } else if (is_header && text.starts_with("[[")) {
        const auto close = text.find("]]");
        end = close == std::string_view::npos ? 1 : close + 2;
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

std::vector<KeyFacts> known_keys() {
    std::vector<KeyFacts> facts;
    const auto add = [&](std::string_view table, std::span<const Key> keys, bool in_array) {
        for (const Key& key : keys)
            facts.push_back({table, key.name, key.type, key.exposure, in_array, key.is_required});
    };
    add({}, document_keys, false);
    for (const Table& table : tables)
        add(table.name, table.keys, table.is_array());
    return facts;
}

std::optional<Exposure> exposure_of(std::string_view name) {
    std::optional<Exposure> least;
    const auto look = [&](std::span<const Key> keys) {
        if (const Key* key = find(keys, name))
            least = std::max(least.value_or(Exposure::open), key->exposure);
    };
    look(document_keys);
    for (const Table& table : tables)
        look(table.keys);
    return least;
}

} // namespace agent
