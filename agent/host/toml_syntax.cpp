#include "agent/host/toml_syntax.hpp"

#include "agent/base/text.hpp"
#include "agent/base/utf8.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

namespace agent {
namespace {

using Kind = SyntaxError::Kind;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_bare(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

bool is_typographic_quote(char32_t point) {
    return (point >= 0x2018 && point <= 0x201F) || point == 0xAB || point == 0xBB ||
           (point >= 0x300C && point <= 0x300F);
}

std::string place(Position position) {
    return "line " + std::to_string(position.line) + ", column " + std::to_string(position.column);
}

std::string quoted(std::string_view key) {
    return "`" + printable(key, 60) + "`";
}

class Scanner {
public:
    explicit Scanner(std::string_view text) : text_{text} {}

    TomlSurvey survey() {
        nodes_.push_back({Defined::explicitly, {1, 1}, {}});
        document();
        return std::move(survey_);
    }

private:
    enum class Defined { implicitly, explicitly, by_dotted_key, as_tables, as_value };
    struct Node {
        Defined how = Defined::as_value;
        Position position;
        std::map<std::string, std::size_t> children; // → index in nodes_
    };
    struct Segment {
        std::string name;
        Position position;
        std::size_t width = 1;
    };
    using Key = std::vector<Segment>;

    // Reading.

    [[nodiscard]] bool at_end() const { return offset_ >= text_.size(); }
    [[nodiscard]] std::string_view rest() const { return text_.substr(offset_); }
    [[nodiscard]] char peek() const { return at_end() ? '\0' : text_[offset_]; }
    [[nodiscard]] bool at_newline() const { return peek() == '\n' || rest().starts_with("\r\n"); }

    void advance(std::size_t bytes = 1) {
        for (; bytes > 0 && !at_end(); --bytes) {
            const char c = text_[offset_++];
            if (c == '\n')
                here_ = {here_.line + 1, 1};
            else if (!continues_character(c))
                ++here_.column;
        }
    }

    void skip_blanks() {
        while (peek() == ' ' || peek() == '\t')
            advance();
    }

    void skip_comment() {
        if (peek() == '#')
            while (!at_end() && !at_newline())
                advance();
    }

    void skip_lines() {
        while (true) {
            skip_blanks();
            skip_comment();
            if (!at_newline())
                return;
            advance(peek() == '\r' ? 2 : 1);
        }
    }

    // Every reader returns false once an error is noted.

    bool fail(Kind kind,
              Position position,
              std::size_t width,
              std::string message,
              std::string label,
              std::string hint = {}) {
        survey_.error = SyntaxError{
            kind, position, width, std::move(message), std::move(label), std::move(hint)};
        return false;
    }

    bool too_deep(Position position) {
        return fail(Kind::depth,
                    position,
                    1,
                    "the document is nested deeper than " + std::to_string(toml_depth_limit) +
                        " levels",
                    "one level too many");
    }

    bool document() {
        std::size_t table = 0;
        std::size_t depth = 0;
        while (true) {
            skip_lines();
            if (at_end())
                return true;
            const bool read = peek() == '[' ? header(table, depth) : key_value(table, depth);
            if (!read || !end_of_line())
                return false;
        }
    }

    bool end_of_line() {
        skip_blanks();
        skip_comment();
        if (at_end() || at_newline())
            return true;
        return fail(Kind::malformed,
                    here_,
                    1,
                    "expected the end of the line",
                    "this is one thing too many",
                    "one key or table header a line; text that holds quotes goes into '…'");
    }

    // Keys.

    bool segment(Key& key) {
        Segment read{{}, here_, 1};
        const std::size_t start = offset_;
        if (peek() == '"' || peek() == '\'') {
            if (rest().starts_with("\"\"\"") || rest().starts_with("'''"))
                return fail(Kind::malformed,
                            here_,
                            3,
                            "a key cannot be a multi-line string",
                            "expected a key");
            if (!text_on_one_line())
                return false;
            read.name = text_.substr(start + 1, offset_ - start - 2);
        } else {
            while (is_bare(peek()))
                advance();
            read.name = text_.substr(start, offset_ - start);
            if (read.name.empty())
                return no_key();
        }
        read.width = here_.column - read.position.column;
        key.push_back(std::move(read));
        return true;
    }

    bool no_key() {
        const auto [point, length] = first_character(rest());
        if (peek() == '=')
            return fail(Kind::malformed,
                        here_,
                        1,
                        "there is no key before `=`",
                        "expected a key",
                        "write it as key = value");
        if (is_typographic_quote(point))
            return fail(Kind::word,
                        here_,
                        1,
                        "typographic quotes are no quotes in TOML",
                        "not a plain quote",
                        "use plain quotes: \"…\"");
        if (point >= 0x80)
            return fail(Kind::malformed,
                        here_,
                        1,
                        "a key without quotes holds only letters A-Z a-z, digits, `_` and `-`",
                        "not one of these");
        return fail(Kind::malformed,
                    here_,
                    1,
                    "expected a key or a [table]",
                    "expected a key",
                    "write it as key = value");
    }

    bool read_key(Key& key) {
        while (true) {
            skip_blanks();
            if (key.size() >= toml_depth_limit)
                return too_deep(here_);
            if (!segment(key))
                return false;
            skip_blanks();
            if (peek() != '.')
                return true;
            advance();
        }
    }

    bool already(const Segment& again, const Node& first, std::string_view what) {
        return fail(Kind::duplicate,
                    again.position,
                    again.width,
                    std::string{what} + " " + quoted(again.name) + " is defined twice: first at " +
                        place(first.position),
                    "defined again here",
                    "keep one of the two");
    }

    std::size_t add(std::size_t parent, const Segment& segment, Defined how) {
        nodes_.push_back({how, segment.position, {}});
        nodes_[parent].children.emplace(segment.name, nodes_.size() - 1);
        return nodes_.size() - 1;
    }

    // The table that holds the last segment of `key`, seen from `node`.
    bool descend(std::size_t& node, const Key& key, Defined how, std::string_view what) {
        for (std::size_t i = 0; i + 1 < key.size(); ++i) {
            const auto child = nodes_[node].children.find(key[i].name);
            if (child == nodes_[node].children.end()) {
                node = add(node, key[i], how);
                continue;
            }
            if (nodes_[child->second].how == Defined::as_value)
                return already(key[i], nodes_[child->second], what);
            node = child->second;
            if (nodes_[node].how == Defined::as_tables)
                node = nodes_[node].children.begin()->second;
        }
        return true;
    }

    bool header(std::size_t& table, std::size_t& depth) {
        const Position opener = here_;
        const bool of_array = rest().starts_with("[[");
        const std::string_view closer = of_array ? "]]" : "]";
        advance(closer.size());
        Key key;
        if (!read_key(key))
            return false;
        if (!rest().starts_with(closer))
            return fail(Kind::unclosed,
                        opener,
                        closer.size(),
                        "the table header is not closed",
                        std::string{"no `"} + std::string{closer} + "` follows the name",
                        of_array ? "write it as [[name]]" : "write it as [name]");
        advance(closer.size());
        depth = key.size();
        std::size_t parent = 0;
        if (!descend(parent, key, Defined::implicitly, "the key"))
            return false;
        const auto found = nodes_[parent].children.find(key.back().name);
        if (of_array)
            return open_array_element(table, parent, key.back(), found);
        if (found == nodes_[parent].children.end()) {
            table = add(parent, key.back(), Defined::explicitly);
            return true;
        }
        Node& first = nodes_[found->second];
        if (first.how != Defined::implicitly)
            return already(
                key.back(), first, first.how == Defined::as_value ? "the key" : "the table");
        first.how = Defined::explicitly;
        first.position = key.back().position;
        table = found->second;
        return true;
    }

    // An array of tables keeps only its newest element, as its one child.
    bool open_array_element(std::size_t& table,
                            std::size_t parent,
                            const Segment& last,
                            std::map<std::string, std::size_t>::const_iterator found) {
        std::size_t array = 0;
        if (found == nodes_[parent].children.end())
            array = add(parent, last, Defined::as_tables);
        else if (nodes_[found->second].how == Defined::as_tables)
            array = found->second;
        else
            return already(last, nodes_[found->second], "the table");
        nodes_[array].children.clear();
        table = add(array, {{}, last.position, 1}, Defined::explicitly);
        return true;
    }

    bool key_value(std::size_t table, std::size_t depth) {
        Key key;
        if (!read_key(key))
            return false;
        if (peek() != '=')
            return fail(Kind::malformed,
                        here_,
                        1,
                        "expected `=` after the key",
                        peek() == ':' ? "`:` is YAML" : "no `=` here",
                        "write it as key = value");
        if (depth + key.size() > toml_depth_limit)
            return too_deep(key.back().position);
        if (!descend(table, key, Defined::by_dotted_key, "the key"))
            return false;
        const auto found = nodes_[table].children.find(key.back().name);
        if (found != nodes_[table].children.end())
            return already(key.back(), nodes_[found->second], "the key");
        add(table, key.back(), Defined::as_value);
        advance();
        skip_blanks();
        return value(depth + key.size());
    }

    // Values.

    bool value(std::size_t depth) {
        if (at_end() || at_newline() || peek() == '#')
            return fail(Kind::malformed,
                        here_,
                        1,
                        "the value is missing",
                        "expected a value",
                        "write one after `=`, or remove the key");
        if (depth > toml_depth_limit)
            return too_deep(here_);
        switch (peek()) {
        case '"':
        case '\'':
            return rest().starts_with("\"\"\"") || rest().starts_with("'''") ? text_on_many_lines()
                                                                             : text_on_one_line();
        case '[':
            return array(depth);
        case '{':
            return inline_table(depth);
        default:
            return scalar();
        }
    }

    bool scalar() {
        const Position start = here_;
        const std::size_t first = offset_;
        if (is_typographic_quote(first_character(rest()).point))
            return fail(Kind::word,
                        start,
                        1,
                        "typographic quotes are no quotes in TOML",
                        "not a plain quote",
                        "use plain quotes: \"…\"");
        constexpr std::string_view ends = " \t\r\n,]}#";
        const auto read_word = [&] {
            while (!at_end() && ends.find(peek()) == std::string_view::npos)
                advance();
        };
        read_word();
        const auto word = [&] { return text_.substr(first, offset_ - first); };
        if (is_date(word()) && peek() == ' ' && rest().size() > 3 && is_digit(rest()[1]) &&
            is_digit(rest()[2]) && rest()[3] == ':') {
            advance();
            read_word();
        }
        const std::size_t width = here_.column - start.column;
        if (word().empty())
            return fail(Kind::malformed, start, 1, "the value is missing", "expected a value");
        survey_.scalars.push_back({start, width});
        return judge(word(), start, width);
    }

    static bool is_date(std::string_view word) {
        constexpr std::string_view shape = "0000-00-00";
        return word.size() == shape.size() &&
               std::equal(word.begin(), word.end(), shape.begin(), [](char c, char like) {
                   return like == '0' ? is_digit(c) : c == like;
               });
    }

    // The mistakes that deserve a hint of their own; the rest is left to toml++.
    bool judge(std::string_view word, Position start, std::size_t width) {
        constexpr std::array<std::string_view, 5> yes{"true", "yes", "on", "y", "enabled"};
        constexpr std::array<std::string_view, 5> no{"false", "no", "off", "n", "disabled"};
        if (word == "true" || word == "false")
            return true;
        const std::string lowered = lower(word);
        for (const auto& [words, meant] : {std::pair{yes, "true"}, std::pair{no, "false"}})
            if (std::find(words.begin(), words.end(), lowered) != words.end())
                return fail(Kind::word,
                            start,
                            width,
                            "a boolean is `true` or `false`, in lower case and without quotes",
                            "not a boolean",
                            std::string{"write "} + meant);
        const std::string_view unsigned_word =
            word.substr(word.starts_with('+') || word.starts_with('-') ? 1 : 0);
        if (unsigned_word == "inf" || unsigned_word == "nan")
            return true;
        if (unsigned_word.empty() || !is_digit(unsigned_word.front()))
            return fail(Kind::word,
                        start,
                        width,
                        "text needs quotes",
                        "neither a number nor true or false",
                        "write it in plain quotes: \"…\"");
        const bool only_digits = std::all_of(unsigned_word.begin(), unsigned_word.end(), is_digit);
        if (only_digits && unsigned_word.size() > 1 && unsigned_word.front() == '0')
            return fail(Kind::number,
                        start,
                        width,
                        "a number has no leading zero",
                        "begins with 0",
                        "remove the leading zero, or write text in quotes");
        const std::string_view largest =
            word.front() == '-' ? "9223372036854775808" : "9223372036854775807";
        if (only_digits && (unsigned_word.size() > largest.size() ||
                            (unsigned_word.size() == largest.size() && unsigned_word > largest)))
            return fail(Kind::number,
                        start,
                        width,
                        "the number is too large: it does not fit 64 bits",
                        "too large");
        return true;
    }

    bool unclosed_array(Position opener) {
        return fail(Kind::unclosed,
                    opener,
                    1,
                    "this `[` is never closed: the array runs on to line " +
                        std::to_string(here_.line),
                    "opened here",
                    "close it with `]`");
    }

    bool array(std::size_t depth) {
        const Position opener = here_;
        advance();
        while (true) {
            skip_lines();
            if (at_end() || assignment_follows())
                return unclosed_array(opener);
            if (peek() == ']')
                break;
            if (!value(depth + 1))
                return false;
            skip_lines();
            if (peek() == ',') {
                advance();
            } else if (at_end() || assignment_follows() || peek() == '[') {
                return unclosed_array(opener);
            } else if (peek() != ']') {
                return fail(Kind::malformed,
                            here_,
                            1,
                            "expected `,` or `]` in the array that begins at " + place(opener),
                            "a comma is missing before this");
            }
        }
        advance();
        return true;
    }

    // "port = …" where an element should be: the bracket above was forgotten.
    [[nodiscard]] bool assignment_follows() const {
        const std::string_view line = rest();
        std::size_t i = 0;
        while (i < line.size() && (is_bare(line[i]) || line[i] == '.'))
            ++i;
        if (i == 0)
            return false;
        while (i < line.size() && (line[i] == ' ' || line[i] == '\t'))
            ++i;
        return i < line.size() && line[i] == '=';
    }

    bool inline_table(std::size_t depth) {
        const Position opener = here_;
        const auto unclosed = [&] {
            return fail(Kind::unclosed,
                        opener,
                        1,
                        "this `{` is not closed before the end of its line",
                        "opened here",
                        "an inline table stays on one line; for more, use a [table]");
        };
        nodes_.push_back({Defined::explicitly, opener, {}});
        const std::size_t table = nodes_.size() - 1;
        advance();
        skip_blanks();
        if (peek() == '}') {
            advance();
            return true;
        }
        while (true) {
            skip_blanks();
            if (at_end() || at_newline() || peek() == '#')
                return unclosed();
            if (peek() == '}')
                return fail(Kind::malformed,
                            here_,
                            1,
                            "an inline table ends without a comma",
                            "expected a key after the comma");
            if (!key_value(table, depth))
                return false;
            skip_blanks();
            if (at_end() || at_newline() || peek() == '#')
                return unclosed();
            if (peek() == '}')
                break;
            if (peek() != ',')
                return fail(Kind::malformed,
                            here_,
                            1,
                            "expected `,` or `}` in the inline table that begins at " +
                                place(opener),
                            "a comma is missing before this");
            advance();
        }
        advance();
        return true;
    }

    bool escape() {
        const Position start = here_;
        const std::string_view after = rest().substr(1);
        const char c = after.empty() ? '\0' : after.front();
        constexpr std::string_view known = "btnfr\"\\";
        if (known.find(c) != std::string_view::npos && c != '\0') {
            advance(2);
            return true;
        }
        const std::size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
        const std::string_view number = after.substr(after.empty() ? 0 : 1, digits);
        if (digits > 0 && number.size() == digits &&
            std::all_of(number.begin(), number.end(), is_hex)) {
            advance(2 + digits);
            return true;
        }
        return fail(Kind::escape,
                    start,
                    after.empty() ? 1 : 2,
                    "a backslash in \"…\" begins an escape, and this is none",
                    "unknown escape",
                    "use 'single quotes' for text with backslashes, or write `\\\\`");
    }

    bool control_character() {
        return fail(Kind::malformed,
                    here_,
                    1,
                    "a control character stands in a string",
                    "control character",
                    "write it as an escape: \\uXXXX");
    }

    [[nodiscard]] bool at_control() const {
        const auto c = static_cast<unsigned char>(peek());
        return (c < 0x20 && c != '\t') || c == 0x7F;
    }

    bool text_on_one_line() {
        const Position opener = here_;
        const char quote = peek();
        advance();
        while (peek() != quote || at_end()) {
            if (at_end() || at_newline())
                return fail(Kind::unclosed,
                            opener,
                            1,
                            "the string is not closed before the end of its line",
                            "opened here",
                            std::string{"close it with `"} + quote + "`");
            if (at_control())
                return control_character();
            if (quote == '"' && peek() == '\\') {
                if (!escape())
                    return false;
            } else {
                advance();
            }
        }
        advance();
        return true;
    }

    bool text_on_many_lines() {
        const Position opener = here_;
        const char quote = peek();
        const std::string fence(3, quote);
        advance(3);
        while (!rest().starts_with(fence)) {
            if (at_end())
                return fail(Kind::unclosed,
                            opener,
                            3,
                            "this `" + fence + "` is never closed",
                            "opened here",
                            "close it with `" + fence + "`");
            if (at_newline()) {
                advance(peek() == '\r' ? 2 : 1);
            } else if (at_control()) {
                return control_character();
            } else if (quote == '"' && peek() == '\\') {
                if (!line_continues() && !escape())
                    return false;
            } else {
                advance();
            }
        }
        advance(3);
        // Up to two quotes before the fence belong to the text.
        for (int more = 0; more < 2 && peek() == quote; ++more)
            advance();
        return true;
    }

    // A backslash at the end of a line: skips it, and leaves the newline.
    bool line_continues() {
        const std::size_t next = text_.find_first_not_of(" \t", offset_ + 1);
        if (next == std::string_view::npos)
            return false;
        if (text_[next] != '\n' && text_.substr(next, 2) != "\r\n")
            return false;
        advance(next - offset_);
        return true;
    }

    std::string_view text_;
    std::size_t offset_ = 0;
    Position here_{1, 1};
    std::vector<Node> nodes_;
    TomlSurvey survey_;
};

} // namespace

TomlSurvey survey_toml(std::string_view text) {
    return Scanner{text}.survey();
}

} // namespace agent
