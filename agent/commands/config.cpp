#include "agent/commands/config.hpp"

#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"
#include "agent/ports/documents.hpp"

#include <algorithm>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agent {
namespace {

constexpr std::size_t screen = 80;
constexpr std::size_t comment_column = 32; // at the latest, where values are short

std::string in_words(const MergedKey::Place& place) {
    return place.source + ":" + std::to_string(place.position.line) + ":" +
           std::to_string(place.position.column);
}

std::string counted_tables(std::int64_t number) {
    return std::to_string(number) + (number == 1 ? " table" : " tables");
}

std::size_t width_of(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); }));
}

// A value of one line; JSON's strings, numbers and booleans are TOML's as well.
std::string short_toml(const Value& value) {
    const Value::Array* array = value.as_array();
    if (!array)
        return write_json(value);
    std::vector<std::string> entries;
    for (const Value& entry : *array)
        entries.push_back(short_toml(entry));
    return "[" + join(entries, ", ") + "]";
}

bool fits_literal(std::string_view text) {
    const bool has_control = std::any_of(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7F;
    });
    return text.find('\n') != std::string_view::npos && !has_control &&
           text.find("'''") == std::string_view::npos && !text.ends_with('\'');
}

// The lines of NAME = VALUE.
std::vector<std::string> toml_lines(const MergedKey& key, std::size_t room) {
    const std::string* text = key.value.as_string();
    if (text && fits_literal(*text))
        return split(key.name + " = '''\n" + *text + "'''", '\n');
    std::string line = key.name + " = " + short_toml(key.value);
    const Value::Array* array = key.value.as_array();
    if (!array || array->empty() || width_of(line) <= room)
        return {std::move(line)};
    std::vector<std::string> lines{key.name + " = ["};
    for (const Value& entry : *array)
        lines.push_back("    " + short_toml(entry) + ",");
    lines.emplace_back("]");
    return lines;
}

std::vector<std::string> comments_on(const std::optional<MergedKey::Place>& place,
                                     const std::vector<MergedKey::Overruled>& overruled,
                                     bool of_tables) {
    std::vector<std::string> comments{"# " + (place ? in_words(*place) : "default")};
    for (const auto& [value, earlier] : overruled) {
        const std::int64_t* number = value.as_integer();
        const std::string what = of_tables && number ? counted_tables(*number) : short_toml(value);
        comments.push_back("# overrides " + printable(what, 200) + " at " + in_words(earlier));
    }
    return comments;
}

struct Entry {
    std::vector<std::string> lines;
    std::vector<std::string> comments; // beside the last line, then below it
};

Entry entry_of(const MergedKey& key) {
    if (std::holds_alternative<std::nullptr_t>(key.value.data))
        return {{"# " + key.name + " is not set"}, {}};
    const bool of_tables = key.value.as_array() && key.value.as_array()->empty();
    Entry entry{{}, comments_on(key.place, key.overruled, of_tables)};
    const std::size_t taken = entry.comments.front().size() + 2;
    entry.lines = toml_lines(key, taken < screen ? screen - taken : 0);
    return entry;
}

void print(const std::vector<Entry>& entries, std::ostream& out) {
    std::size_t column = 0;
    for (const Entry& entry : entries)
        if (const std::size_t width = width_of(entry.lines.back()) + 2;
            width <= comment_column && !entry.comments.empty())
            column = std::max(column, width);
    for (const Entry& entry : entries) {
        for (const std::string& line : entry.lines)
            out << line << (&line == &entry.lines.back() ? "" : "\n");
        const std::size_t width = width_of(entry.lines.back());
        std::size_t gap = std::max(width + 2, column) - width;
        for (const std::string& comment : entry.comments) {
            out << std::string(gap, ' ') << comment;
            if (&comment != &entry.comments.back())
                out << "\n";
            gap = std::max(width + 2, column);
        }
        out << "\n";
    }
}

void print(const MergedTable& table, std::ostream& out) {
    std::vector<Entry> entries;
    if (table.index)
        entries.push_back(
            {{"[[" + table.name + "]]"}, comments_on(table.place, table.overruled, true)});
    else if (!table.name.empty())
        entries.push_back({{"[" + table.name + "]"}, {}});
    for (const MergedKey& key : table.keys)
        entries.push_back(entry_of(key));
    out << "\n";
    print(entries, out);
}

void print_sources(const GatheredSources& gathered, std::ostream& out) {
    out << "# The merged configuration of this machine; a later source wins:\n";
    for (const ConfigSource& source : gathered.sources)
        out << "#   " << source.name << "\n";
}

Value to_value(const std::optional<MergedKey::Place>& place) {
    if (!place)
        return {};
    return Value{Value::Object{{"source", place->source, {}},
                               {"line", std::int64_t{place->position.line}, {}},
                               {"column", std::int64_t{place->position.column}, {}}}};
}

Value to_value(const std::string& path, const MergedKey& key) {
    Value::Array overrides;
    for (const auto& [value, place] : key.overruled)
        overrides.push_back(
            Value{Value::Object{{"value", value, {}}, {"origin", to_value(place), {}}}});
    return Value{Value::Object{{"key", path, {}},
                               {"value", key.value, {}},
                               {"origin", to_value(key.place), {}},
                               {"overrides", std::move(overrides), {}}}};
}

// Of an array of tables the elements are said as one key, with how many there are.
Value keys_of(const std::vector<MergedTable>& merged) {
    Value::Array keys;
    for (const MergedTable& table : merged) {
        std::string base = table.name;
        if (table.index) {
            base += "[" + std::to_string(*table.index) + "]";
            MergedKey header{.name = base, .value = {}, .place = table.place};
            header.overruled = table.overruled;
            keys.push_back(to_value(base, header));
        }
        for (const MergedKey& key : table.keys)
            keys.push_back(to_value(base.empty() ? key.name : base + "." + key.name, key));
    }
    return Value{std::move(keys)};
}

Value to_value(const GatheredSources& gathered,
               const Configuration& read,
               const std::vector<Diagnostic>& diagnostics) {
    Value::Array sources;
    for (const ConfigSource& source : gathered.sources)
        sources.push_back(source.name);
    Value::Array told;
    for (const Diagnostic& diagnostic : diagnostics)
        told.push_back(to_value(diagnostic));
    Value::Object object{{"valid", read.is_valid(), {}},
                         {"sha256", read.settings.sha256, {}},
                         {"sources", std::move(sources), {}},
                         {"diagnostics", std::move(told), {}}};
    if (read.is_valid())
        object.push_back({"keys", keys_of(read.merged), {}});
    return Value{std::move(object)};
}

} // namespace

int config_command(const GatheredSources& gathered,
                   const ConfigOptions& options,
                   std::ostream& out,
                   std::ostream& err) {
    const Configuration read = read_configuration(gathered.sources);
    std::vector<Diagnostic> diagnostics = gathered.notes;
    diagnostics.insert(diagnostics.end(), read.diagnostics.begin(), read.diagnostics.end());
    if (options.json) {
        out << write_json(to_value(gathered, read, diagnostics)) << "\n";
    } else {
        for (const Diagnostic& diagnostic : diagnostics)
            err << render(diagnostic, gathered.sources, options.colours) << "\n";
        if (read.is_valid()) {
            print_sources(gathered, out);
            for (const MergedTable& table : read.merged)
                print(table, out);
        } else {
            const auto errors = std::count_if(
                read.diagnostics.begin(), read.diagnostics.end(), [](const Diagnostic& one) {
                    return one.severity == Severity::error;
                });
            err << "the configuration is not valid: " << errors
                << (errors == 1 ? " error\n" : " errors\n");
        }
    }
    return read.is_valid() ? 0 : 1;
}

} // namespace agent
