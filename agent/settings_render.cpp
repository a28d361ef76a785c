#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"
#include "agent/settings.hpp"
#include "agent/settings_keys.hpp"
#include "agent/settings_rules.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace agent {
namespace {

constexpr std::size_t terminal_columns = 80;
constexpr std::size_t shown_columns = 68; // of a source line, with what stands around it

// Which lines of a document may be shown, and how far. A value is shown only under a key that is
// known to hold nothing secret: behind any other, even a misspelt one, a secret may stand.
class Redactor {
public:
    // How the line may be shown: up to this byte, then "***". The lines are given in order.
    std::size_t visible(std::string_view line) {
        const std::string_view body = trim(line);
        if (!fence_.empty())
            return inside_fence(line);
        if (body.empty())
            return line.size();
        if (body.starts_with('#') && is_secret_ && is_open_)
            return 0;
        if (body.starts_with('#'))
            return rules::mentions_secret(body) ? cut_after(line, line.find('#') + 1) : line.size();
        if (body.starts_with('[') && is_header(body)) {
            is_secret_ = true;
            is_open_ = false;
            return header(line);
        }
        constexpr std::string_view continues = "\"'[]{},+-0123456789";
        if (continues.find(body.front()) != std::string_view::npos && !assigns(body))
            return continuation(line);
        return head(line);
    }

private:
    static constexpr std::string_view bare_characters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

    static bool is_bare(std::string_view text, std::string_view also) {
        return text.find_first_not_of(std::string{bare_characters} + std::string{also}) ==
               std::string_view::npos;
    }

    // Inside a secret that goes on, only what is certain to be a header is one.
    [[nodiscard]] bool is_header(std::string_view body) const {
        return is_bare(is_secret_ && is_open_ ? body : body.substr(0, body.find(']')), "[] \t");
    }

    // What follows a header is no part of it.
    static std::size_t header(std::string_view line) {
        const auto end = line.find_first_not_of(std::string{bare_characters} + "[] \t");
        if (end == std::string_view::npos ||
            (line[end] == '#' && !rules::mentions_secret(line.substr(end))))
            return line.size();
        return std::min(line.find_last_of("[]", end) + 1, end);
    }

    // Whether a key and `=` begin the line; "numpy==1.26" is an entry of a list.
    static bool assigns(std::string_view body) {
        const char quote = body.front();
        std::size_t end = 0;
        if (quote == '"' || quote == '\'')
            end = std::min(body.find(quote, 1), body.size() - 1) + 1;
        else
            end = std::min(body.find_first_not_of(bare_characters), body.size());
        const std::string_view rest = trim(body.substr(end));
        return end > 0 && rest.starts_with('=') && !rest.starts_with("==");
    }

    // A key whose value may be shown, at least if it is harmless itself.
    static bool is_harmless_key(std::string_view key) {
        const auto exposure = exposure_of(key);
        return exposure == Exposure::open || exposure == Exposure::plain_url;
    }

    static std::size_t cut_after(std::string_view line, std::size_t from) {
        const auto equals = line.find('=', from);
        const auto words = line.find_first_not_of(" \t", from);
        const std::size_t key_end = words == std::string_view::npos
                                        ? line.size()
                                        : line.find_first_not_of(bare_characters, words);
        const auto next = line.find_first_not_of(" \t", key_end);
        return equals != std::string_view::npos && next == equals ? equals + 1 : from;
    }

    // Whether the `=` at `at` belongs to a comparison ("tokenizers==1") or stands within one word
    // of a string ("libgl1=1.6").
    static bool is_in_word(std::string_view text, std::size_t at) {
        constexpr std::string_view comparing = "=<>!~";
        const char before = at > 0 ? text[at - 1] : ' ';
        const char after = at + 1 < text.size() ? text[at + 1] : ' ';
        if (after == '=' || comparing.find(before) != std::string_view::npos)
            return true;
        const auto quotes =
            std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '"') +
            std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\'');
        constexpr std::string_view blanks = " \t\"'";
        return quotes % 2 != 0 && blanks.find(before) == std::string_view::npos &&
               blanks.find(after) == std::string_view::npos;
    }

    // What is otherwise harmless, but assigns again ("port = 1 x = …"), names a secret
    // ("--token=…"), or speaks of one in a comment.
    static bool assigns_secret(std::string_view text) {
        const auto comment = text.find('#');
        if (comment != std::string_view::npos && rules::mentions_secret(text.substr(comment)))
            return true;
        for (auto at = text.find_first_of("=:"); at != std::string_view::npos;
             at = text.find_first_of("=:", at + 1)) {
            const std::string_view before = text.substr(0, at);
            if (text[at] == '=' && !is_in_word(text, at))
                return true;
            const auto start =
                before.find_last_of(",{[(;&? \t\"'", before.find_last_not_of(" \t\"'"));
            const std::string_view word =
                before.substr(start == std::string_view::npos ? 0 : start + 1);
            const bool compares = text.substr(at).starts_with("==");
            if (!compares &&
                rules::is_secret_key(word.substr(0, word.find_last_not_of(" \t\"'") + 1)))
                return true;
        }
        return false;
    }

    // Whether a value may go on in the next line, by intent if not by TOML's rules.
    static bool is_incomplete(std::string_view value) {
        const auto count = [&](char c) { return std::count(value.begin(), value.end(), c); };
        return trim(value).empty() || count('"') % 2 != 0 || count('\'') % 2 != 0 ||
               count('[') != count(']') || count('{') != count('}') || trim(value).ends_with('\\');
    }

    // A URL without anything that could be, or be meant as, credentials.
    static bool is_plain_url(std::string_view value) {
        std::string_view url = trim(value);
        for (const std::string_view lead : {"\"", "'", "https://", "http://"})
            if (url.starts_with(lead))
                url.remove_prefix(lead.size());
        // A port is no password when nothing but digits stands before the end.
        if (const auto colon = url.find(':'); colon != std::string_view::npos) {
            const std::string_view port = url.substr(colon + 1);
            const auto end = std::min(port.find_first_not_of("0123456789"), port.size());
            if (end == 0 || end > 5 ||
                (end < port.size() && port[end] != '/' && port[end] != '"' && port[end] != '\''))
                return false;
            if (port.find(':') != std::string_view::npos)
                return false;
        }
        return url.find_first_of("@?#%\\") == std::string_view::npos;
    }

    void note_fence(std::string_view rest) {
        const auto first = std::min(rest.find("\"\"\""), rest.find("'''"));
        if (first == std::string_view::npos)
            return;
        const std::string_view fence = rest.substr(first, 3);
        if (rest.find(fence, first + 3) == std::string_view::npos)
            fence_ = fence;
    }

    // A private key may have been pasted anywhere.
    static bool begins_armour(std::string_view text) {
        return text.find("-----BEGIN ") != std::string_view::npos;
    }

    std::size_t inside_fence(std::string_view line) {
        is_secret_ = is_secret_ || begins_armour(line);
        if (line.find(fence_) != std::string_view::npos)
            fence_.clear();
        return is_secret_ || assigns_secret(line) ? 0 : line.size();
    }

    std::size_t continuation(std::string_view line) {
        note_fence(line);
        const auto indent = std::min(line.find_first_not_of(" \t"), line.size());
        const bool hide = is_secret_ || !is_open_ || assigns_secret(line);
        if (line.substr(indent).starts_with(']') || line.substr(indent).starts_with('}'))
            is_open_ = false;
        return hide ? indent : line.size();
    }

    struct Head {
        std::size_t start = 0;  // of the key
        std::string_view word;  // the bare key, or as much of it as there is
        std::string_view name;  // its last part
        std::string_view value; // what follows `=`, or the word
        bool assigns = false;   // the line is WORD = VALUE
    };

    static Head read_head(std::string_view line) {
        Head head;
        head.start = std::min(line.find_first_not_of(" \t"), line.size());
        const auto end = std::min(line.find_first_not_of(bare_characters, head.start), line.size());
        head.word = line.substr(head.start, end - head.start);
        head.name = head.word.substr(head.word.rfind('.') + 1);
        const auto next = std::min(line.find_first_not_of(" \t", end), line.size());
        head.assigns = !head.word.empty() && line.substr(next).starts_with('=');
        head.value = line.substr(head.assigns ? next + 1 : end);
        return head;
    }

    static bool is_harmless(const Head& head) {
        if (!head.assigns || rules::is_secret_key(head.name) || assigns_secret(head.value) ||
            begins_armour(head.value))
            return false;
        if (is_harmless_key(head.name))
            return exposure_of(head.name) != Exposure::plain_url || is_plain_url(head.value);
        // A number or a boolean under a key that nobody knows.
        const std::string_view literal = trim(head.value.substr(0, head.value.find('#')));
        return literal == "true" || literal == "false" ||
               (!literal.empty() &&
                literal.find_first_not_of("0123456789+-._") == std::string_view::npos);
    }

    std::size_t head(std::string_view line) {
        const Head head = read_head(line);
        const bool known = exposure_of(head.name) || rules::is_secret_key(head.name);
        // What follows a secret without being a key we know may be more of the secret.
        const bool doubtful = is_secret_ && is_open_ && !known;
        is_secret_ = doubtful || !is_harmless(head);
        note_fence(head.value);
        is_open_ = is_incomplete(head.value);
        if (!is_secret_)
            return line.size();
        const bool is_whole_key = exposure_of(head.name).has_value();
        if (doubtful || (!head.assigns && !is_whole_key))
            return head.start;
        return line.size() - head.value.size();
    }

    std::string fence_;     // of the multi-line string that the line begins in
    bool is_secret_ = true; // whether what the last key holds must be hidden; there is none yet
    bool is_open_ = false;  // whether it may go on behind its first line
};

// One character on the screen, or a hidden stretch.
struct Cell {
    std::string text;
    std::size_t width = 1;
    std::size_t begin = 0; // columns of the source, 1-based
    std::size_t end = 0;   // one behind
};

struct Stretch {
    std::size_t begin = 0; // bytes
    std::size_t end = 0;
};

// What looks like a secret whatever the key: a hash, and the user in a URL.
std::optional<Stretch> secret_in(std::string_view line) {
    constexpr std::array<std::string_view, 13> prefixes{"-----BEGIN ",
                                                        "argon2:",
                                                        "sha1:",
                                                        "sha256:",
                                                        "sha512:",
                                                        "md5:",
                                                        "$argon2",
                                                        "$2a$",
                                                        "$2b$",
                                                        "$2y$",
                                                        "$5$",
                                                        "$6$",
                                                        "$y$"};
    std::size_t begin = line.size();
    for (const std::string_view prefix : prefixes)
        begin = std::min(begin, line.find(prefix));
    if (begin < line.size())
        return Stretch{begin, line.size()};
    return std::nullopt;
}

std::optional<Stretch> credentials_in(std::string_view line, std::size_t from) {
    const auto at = line.find('@', from);
    const auto scheme = line.substr(0, std::min(at, line.size())).rfind("://");
    if (at == std::string_view::npos || scheme == std::string_view::npos || scheme + 3 < from)
        return std::nullopt;
    return Stretch{scheme + 3, at};
}

std::vector<Stretch> hidden_in(std::string_view line, std::size_t visible) {
    std::vector<Stretch> hidden;
    std::size_t limit = std::min(visible, line.size());
    if (const auto secret = secret_in(line.substr(0, limit)))
        limit = secret->begin;
    for (std::size_t from = 0; const auto found = credentials_in(line.substr(0, limit), from);) {
        hidden.push_back(*found);
        from = found->end + 1;
    }
    if (limit < line.size())
        hidden.push_back({limit, line.size()});
    return hidden;
}

std::vector<Cell> cells_of(std::string_view line, std::size_t visible) {
    const auto hidden = hidden_in(line, visible);
    auto next = hidden.begin();
    std::vector<Cell> cells;
    std::size_t column = 1;
    for (std::size_t i = 0; i < line.size();) {
        const auto [point, length] = first_character(line.substr(i));
        const std::size_t bytes = std::max<std::size_t>(1, length);
        if (next != hidden.end() && i >= next->begin) {
            if (cells.empty() || cells.back().end != column || i == next->begin) {
                const bool behind_equals = !cells.empty() && cells.back().text == "=";
                cells.push_back(
                    {behind_equals ? " ***" : "***", behind_equals ? 4U : 3U, column, column});
            }
            cells.back().end = column + 1;
            if (i + bytes >= next->end)
                ++next;
        } else if (point == '\t') {
            cells.push_back({"    ", 4, column, column + 1});
        } else if (length == 0 || is_unprintable(point)) {
            cells.push_back({"?", 1, column, column + 1});
        } else {
            cells.push_back(
                {std::string{line.substr(i, length)}, columns_of(point), column, column + 1});
        }
        ++column;
        i += bytes;
    }
    return cells;
}

// The part of the line around the caret that fits the screen, and the caret under it.
struct Snippet {
    std::string text;
    std::size_t indent = 0;
    std::size_t carets = 1;
};

Snippet snippet(std::vector<Cell> cells, std::size_t column, std::size_t width) {
    const auto total = [](auto begin, auto end) {
        std::size_t sum = 0;
        for (auto cell = begin; cell != end; ++cell)
            sum += cell->width;
        return sum;
    };
    auto first = std::find_if(
        cells.begin(), cells.end(), [&](const Cell& cell) { return cell.end > column; });
    if (total(cells.begin(), cells.end()) > shown_columns) {
        const std::size_t before = shown_columns / 3;
        auto begin = first;
        for (std::size_t seen = 0; begin != cells.begin() && seen < before; seen += begin->width)
            --begin;
        auto end = begin;
        for (std::size_t seen = 0; end != cells.end() && seen < shown_columns; seen += end->width)
            ++end;
        const auto offset = first - begin;
        const bool cut_before = begin != cells.begin();
        std::vector<Cell> kept;
        if (cut_before)
            kept.push_back({"...", 3, 0, 0});
        kept.insert(kept.end(), begin, end);
        if (end != cells.end())
            kept.push_back({"...", 3, static_cast<std::size_t>(-1), static_cast<std::size_t>(-1)});
        cells = std::move(kept);
        first = cells.begin() + offset + (cut_before ? 1 : 0);
    }
    Snippet made;
    for (const Cell& cell : cells)
        made.text += cell.text;
    while (made.text.ends_with(' '))
        made.text.pop_back();
    made.indent = total(cells.begin(), first);
    const auto last = std::find_if(
        first, cells.end(), [&](const Cell& cell) { return cell.begin >= column + width; });
    made.carets = std::max<std::size_t>(1, total(first, last));
    if (first != cells.end() && first->text == " ***") {
        ++made.indent;
        made.carets = std::max<std::size_t>(1, made.carets - 1);
    }
    return made;
}

std::optional<Snippet> snippet_of(const Diagnostic& diagnostic,
                                  std::span<const ConfigSource> sources) {
    const auto source = std::find_if(sources.begin(), sources.end(), [&](const auto& one) {
        return one.name == diagnostic.source;
    });
    if (source == sources.end() || diagnostic.position.line == 0)
        return std::nullopt;
    std::string_view text = source->text;
    if (text.starts_with("\xEF\xBB\xBF"))
        text.remove_prefix(3);
    Redactor redactor;
    for (std::uint32_t number = 1;; ++number) {
        const auto end = text.find('\n');
        std::string_view line = text.substr(0, end);
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        const std::size_t visible = redactor.visible(line);
        if (number == diagnostic.position.line)
            return snippet(cells_of(line, visible), diagnostic.position.column, diagnostic.width);
        if (end == std::string_view::npos)
            return std::nullopt;
        text.remove_prefix(end + 1);
    }
}

// Broken between words where a terminal ends, further lines below the first.
std::string wrapped(std::string_view text, std::size_t indent) {
    std::string out;
    std::size_t column = indent;
    for (const std::string& word : split(text, ' ')) {
        const auto width = static_cast<std::size_t>(std::count_if(
            word.begin(), word.end(), [](char c) { return !continues_character(c); }));
        if (out.empty()) {
            column += width;
        } else if (column + 1 + width > terminal_columns) {
            out += '\n' + std::string(indent, ' ');
            column = indent + width;
        } else {
            out += ' ';
            column += 1 + width;
        }
        out += word;
    }
    return out;
}

} // namespace

std::string
render(const Diagnostic& diagnostic, std::span<const ConfigSource> sources, Colours colours) {
    const auto paint = [&](std::string_view escape, const std::string& text) {
        return colours == Colours::on ? std::string{escape} + text + "\x1b[0m" : text;
    };
    const std::string_view severe = diagnostic.severity == Severity::error     ? "\x1b[1;31m"
                                    : diagnostic.severity == Severity::warning ? "\x1b[1;33m"
                                                                               : "\x1b[1;36m";
    constexpr std::string_view blue = "\x1b[1;34m";
    constexpr std::string_view bold = "\x1b[1m";
    const std::string number = std::to_string(diagnostic.position.line);
    const auto found = snippet_of(diagnostic, sources);
    const std::string gutter(found ? number.size() + 2 : 3, ' ');
    std::string out =
        paint(severe, std::string{name_of(diagnostic.severity)} + "[" + diagnostic.code + "]") +
        paint(bold, ": " + diagnostic.message) + "\n";
    if (!diagnostic.source.empty()) {
        out += gutter.substr(1) + paint(blue, "-->") + " " + diagnostic.source;
        if (diagnostic.position.line > 0)
            out += ":" + number + ":" + std::to_string(diagnostic.position.column);
        out += '\n';
    }
    if (found) {
        out += gutter + paint(blue, "|") + "\n";
        out += " " + paint(blue, number + " |") + (found->text.empty() ? "" : " ") + found->text +
               "\n";
        out += gutter + paint(blue, "|") + " " + std::string(found->indent, ' ') +
               paint(severe,
                     std::string(found->carets, '^') +
                         (diagnostic.label.empty() ? "" : " " + diagnostic.label)) +
               "\n";
    }
    if (!diagnostic.hint.empty())
        out += gutter + paint(blue, "=") + " hint: " +
               wrapped(diagnostic.hint, gutter.size() + std::string_view{"= hint: "}.size()) + "\n";
    return out;
}

Value to_value(const Diagnostic& diagnostic) {
    Value::Object object;
    const auto add = [&](std::string key, Value value) {
        object.push_back({std::move(key), std::move(value), {}});
    };
    add("severity", std::string{name_of(diagnostic.severity)});
    add("code", diagnostic.code);
    add("source", diagnostic.source);
    add("line", std::int64_t{diagnostic.position.line});
    add("column", std::int64_t{diagnostic.position.column});
    add("width", static_cast<std::int64_t>(diagnostic.position.line == 0 ? 0 : diagnostic.width));
    add("key", diagnostic.key);
    add("message", diagnostic.message);
    add("label", diagnostic.label);
    add("hint", diagnostic.hint);
    return Value{std::move(object)};
}

} // namespace agent
