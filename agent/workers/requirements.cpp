#include "agent/workers/requirements.hpp"

#include "agent/base/files.hpp"
#include "agent/base/text.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/ports/documents.hpp"
#include "agent/workers/work.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace agent {
namespace {

constexpr std::size_t size_limit = std::size_t{1} << 20; // of all files together
constexpr std::size_t entry_limit = 5000;
constexpr std::size_t file_limit = 10;

struct Entry {
    std::int64_t line = 0;
    std::string text;
};

struct Problem {
    std::filesystem::path file;
    std::int64_t line = 0; // 0: of the file as a whole
    std::string what;
};

// "-r FILE", "-rFILE", "--requirement=FILE" and the same of constraints.
struct Include {
    ListKind kind = ListKind::requirements;
    std::string name;
};

// A `#` begins a comment where a line or a word begins.
std::string_view without_comment(std::string_view line) {
    for (auto at = line.find('#'); at != std::string_view::npos; at = line.find('#', at + 1))
        if (at == 0 || line[at - 1] == ' ' || line[at - 1] == '\t')
            return line.substr(0, at);
    return line;
}

// A backslash at its end takes a line on into the next.
std::vector<Entry> entries_of(std::string_view content) {
    std::vector<Entry> entries;
    std::int64_t number = 0;
    bool goes_on = false;
    for (const std::string& line : split(content, '\n')) {
        ++number;
        std::string_view text = trim(without_comment(line));
        const bool has_next = text.ends_with('\\');
        if (has_next)
            text = trim(text.substr(0, text.size() - 1));
        if (goes_on)
            entries.back().text += " " + std::string{text};
        else if (!text.empty() || has_next)
            entries.push_back({number, std::string{text}});
        goes_on = has_next;
    }
    std::erase_if(entries, [](const Entry& one) { return trim(one.text).empty(); });
    return entries;
}

bool is_harmless_option(std::string_view text) {
    constexpr std::array<std::string_view, 5> options{
        "--only-binary", "--no-binary", "--pre", "--prefer-binary", "--require-hashes"};
    const auto name = text.substr(0, text.find_first_of(" ="));
    return std::find(options.begin(), options.end(), name) != options.end();
}

std::string problem_of_option(std::string_view text) {
    const auto begins = [&](std::initializer_list<std::string_view> names) {
        return std::any_of(
            names.begin(), names.end(), [&](auto name) { return text.starts_with(name); });
    };
    if (begins({"-i", "--index", "--extra-index", "-f", "--find-links", "--trusted-host"}))
        return "an index or a place of packages is named in the configuration: index_url, or "
               "[[python.index]] for single packages";
    return "the option " + printable(text.substr(0, text.find_first_of(" =")), 40) +
           " is not taken";
}

struct Parts {
    std::string requirement;
    bool hashed = false;
};

std::optional<std::string> problem_of(const Entry& entry, Parts& parts) {
    const auto hash = entry.text.find(" --hash");
    parts.hashed = hash != std::string::npos;
    parts.requirement = std::string{trim(std::string_view{entry.text}.substr(0, hash))};
    const std::string_view name = parts.requirement;
    const auto part = name.substr(0, name.find(';'));
    if (entry.text.starts_with('-'))
        return problem_of_option(entry.text);
    if (part.find(" @ ") != std::string_view::npos && part.find("https://") != std::string::npos &&
        parts.hashed)
        return std::nullopt;
    if (part.find('@') != std::string_view::npos || part.find("://") != std::string_view::npos ||
        part.find('/') != std::string_view::npos || part.starts_with('.'))
        return "a URL or a path is taken only as `name @ https://…` with a --hash: write "
               "name==version";
    const char first = name.front();
    if (!((first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') ||
          (first >= '0' && first <= '9')))
        return "it is no requirement";
    return std::nullopt;
}

std::optional<Include> include_in(std::string_view text) {
    constexpr std::array<std::pair<std::string_view, ListKind>, 4> options{
        {{"--requirement", ListKind::requirements},
         {"--constraint", ListKind::constraints},
         {"-r", ListKind::requirements},
         {"-c", ListKind::constraints}}};
    for (const auto& [option, kind] : options) {
        if (!text.starts_with(option))
            continue;
        std::string_view rest = text.substr(option.size());
        const bool is_long = option.starts_with("--");
        if (is_long && !rest.empty() && rest.find_first_of("= \t") != 0)
            continue; // another, longer option
        if (is_long && rest.starts_with('='))
            rest.remove_prefix(1);
        return Include{kind, std::string{trim(rest)}};
    }
    return std::nullopt;
}

// pip would take URLs, variables and any place.
std::string problem_of_name(const std::string& name) {
    if (name.empty())
        return "it names no file";
    if (!std::all_of(name.begin(), name.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '.' || c == '_' || c == '-' || c == '+' || c == '/';
        }))
        return "the name of an included file is of letters, digits and . _ - + / alone";
    const auto parts = split(name, '/');
    if (name.starts_with('/') || std::find(parts.begin(), parts.end(), "..") != parts.end())
        return "an included file lies beside this one or below: " + name + " does not";
    return {};
}

// A file and those that it includes.
class Lists {
public:
    explicit Lists(ListKind kind) : kind_{kind} {}
    // nullopt: all of it is read; absent() may hold then.
    std::optional<Problem> read(const std::filesystem::path& file);
    // A text that lies nowhere.
    std::optional<Problem> read_alone(std::string_view content) { return take({}, content, kind_); }
    [[nodiscard]] bool absent() const { return digests_.empty(); }
    [[nodiscard]] std::string answer() &&;

private:
    std::optional<Problem>
    take(const std::filesystem::path& file, std::string_view content, ListKind kind);
    std::optional<Problem> follow(const std::filesystem::path& file,
                                  std::int64_t line,
                                  const Include& include,
                                  ListKind kind);

    ListKind kind_; // of the first file
    Value::Array entries_;
    Value::Array constraints_;
    std::vector<std::string> digests_;        // of each file
    std::vector<std::filesystem::path> open_; // that one, and those that led to it
    std::vector<std::filesystem::path> read_;
    std::size_t size_ = 0;
    std::size_t count_ = 0; // of all entries
    bool hashed_ = false;
};

std::optional<Problem> Lists::read(const std::filesystem::path& file) {
    const auto content = read_file(file, size_limit);
    if (!content)
        return Problem{file, 0, content.error().message};
    return *content ? take(file, **content, kind_) : std::nullopt;
}

std::optional<Problem>
Lists::take(const std::filesystem::path& file, std::string_view content, ListKind kind) {
    const auto entries = entries_of(content);
    size_ += content.size();
    count_ += entries.size();
    if (count_ > entry_limit)
        return Problem{file,
                       0,
                       std::to_string(count_) + " entries are more than " +
                           std::to_string(entry_limit)};
    if (size_ > size_limit)
        return Problem{
            file, 0, "with it the files are larger than " + std::to_string(size_limit) + " bytes"};
    digests_.push_back(sha256_hex(content));
    read_.push_back(file);
    open_.push_back(file);
    for (const Entry& entry : entries) {
        if (is_harmless_option(entry.text))
            continue;
        if (const auto include = include_in(entry.text)) {
            if (auto problem = follow(file, entry.line, *include, kind))
                return problem;
            continue;
        }
        Parts parts;
        if (auto problem = problem_of(entry, parts))
            return Problem{file, entry.line, std::move(*problem)};
        if (kind != kind_)
            continue; // it installs nothing
        hashed_ = hashed_ || parts.hashed;
        entries_.push_back(Value{Value::Object{{"file", file.string(), {}},
                                               {"line", entry.line, {}},
                                               {"requirement", parts.requirement, {}},
                                               {"text", entry.text, {}}}});
    }
    open_.pop_back();
    return std::nullopt;
}

std::optional<Problem> Lists::follow(const std::filesystem::path& file,
                                     std::int64_t line,
                                     const Include& include,
                                     ListKind kind) {
    const auto problem = [&](std::string what) { return Problem{file, line, std::move(what)}; };
    if (file.empty())
        return problem("a list that comes from a bucket includes no other");
    if (kind == ListKind::constraints && include.kind == ListKind::requirements)
        return problem("a constraints file includes others by -c alone: -r would install them");
    if (auto wrong = problem_of_name(include.name); !wrong.empty())
        return problem(std::move(wrong));
    const auto next = (file.parent_path() / include.name).lexically_normal();
    if (std::find(open_.begin(), open_.end(), next) != open_.end()) {
        std::vector<std::string> round;
        for (const auto& one : open_)
            round.push_back(one.filename().string());
        round.push_back(next.filename().string());
        return problem("it includes itself: " + join(round, " → "));
    }
    if (include.kind == ListKind::constraints && kind == ListKind::requirements)
        constraints_.emplace_back(next.string());
    if (std::find(read_.begin(), read_.end(), next) != read_.end())
        return std::nullopt;
    if (read_.size() == file_limit)
        return problem("more than " + std::to_string(file_limit) + " files belong together");
    const auto content = read_file(next, size_limit);
    if (!content)
        return problem(content.error().message);
    if (!*content)
        return problem("there is no " + next.string());
    return take(next, **content, include.kind);
}

std::string Lists::answer() && {
    // One file's is its own.
    const std::string digest =
        digests_.size() == 1 ? digests_.front() : sha256_hex(join(digests_, "\n"));
    return write_json(Value::Object{{"state", "read", {}},
                                    {"sha256", digest, {}},
                                    {"hashed", hashed_, {}},
                                    {"entries", std::move(entries_), {}},
                                    {"constraints", std::move(constraints_), {}}});
}

void tell(const std::optional<Problem>& problem, Lists lists, std::ostream& out) {
    if (problem)
        out << write_json(Value::Object{{"state", "refused", {}},
                                        {"file", problem->file.string(), {}},
                                        {"line", problem->line, {}},
                                        {"problem", problem->what, {}}});
    else if (lists.absent())
        out << write_json(Value::Object{{"state", "absent", {}}});
    else
        out << std::move(lists).answer();
    out << "\n";
}

} // namespace

int requirements_worker(const std::filesystem::path& file, ListKind kind, std::ostream& out) {
    Lists lists{kind};
    const auto problem = lists.read(file);
    tell(problem, std::move(lists), out);
    return 0;
}

int requirements_worker(std::istream& text, std::ostream& out) {
    const std::string content = read_input(text, size_limit + 1);
    Lists lists{ListKind::requirements};
    const auto problem =
        content.size() > size_limit
            ? Problem{{}, 0, "it is larger than " + std::to_string(size_limit) + " bytes"}
            : lists.read_alone(content);
    tell(problem, std::move(lists), out);
    return 0;
}

} // namespace agent
