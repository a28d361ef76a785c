#include "agent/ports/documents.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <string>

using agent::parse_toml;
using agent::Position;
using agent::SyntaxError;
using agent::Value;
using agent::write_json;
using Kind = SyntaxError::Kind;

namespace {

struct Wrong {
    std::string text;
    Kind kind;
    Position position;
    std::size_t width;
    std::string message;
};

std::string repeated(const std::string& text, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i)
        out += text;
    return out;
}

} // namespace

TEST_CASE("toml: a document is read in written order with the place of every key and value",
          "[unit][host]") {
    const auto value = parse_toml("# комментарий\n"
                                  "z.b = 1\n"
                                  "\"к\" = \"é\" # c\n"
                                  "[machine]\r\n"
                                  "\tuser = 'a'\n"
                                  "list = [ 1,\n"
                                  "  { x = 2.5, when = 2024-01-02T03:04:05Z } ]\n");
    REQUIRE(value.has_value());
    CHECK(write_json(*value) == R"({"z":{"b":1},"к":"é","machine":{"user":"a",)"
                                R"("list":[1,{"x":2.5,"when":"2024-01-02T03:04:05Z"}]}})");
    const Value::Object& root = *value->as_object();
    CHECK(root[0].key_position == Position{2, 1});
    CHECK(root[0].value.as_object()->at(0).key_position == Position{2, 3});
    CHECK(root[1].key_position == Position{3, 1});
    CHECK(root[1].value.position == Position{3, 7});
    const Value::Object& machine = *root[2].value.as_object();
    CHECK(machine[0].key_position == Position{5, 2});
    CHECK(machine[1].value.position == Position{6, 8});
    CHECK(machine[1].value.as_array()->at(1).find("x")->position == Position{7, 9});
}

TEST_CASE("toml: what TOML allows is accepted", "[unit][host]") {
    const std::string text = GENERATE(
        as<std::string>{},
        "",
        "\n\n# only a comment",
        "\xEF\xBB\xBF"
        "a = 1",
        "a = 1\r\nb = 2\r\n",
        "a = +1\nb = -0\nc = 0xDEAD_beef\nd = 0o17\ne = 0b1\nf = 1_000",
        "a = 1e6\nb = -2.5E-3\nc = inf\nd = -nan\ne = +inf\nf = 0.0\ng = 0e0",
        "a = 1979-05-27\nb = 07:32:00\nc = 1979-05-27 07:32:00.5\nd = 1979-05-27T07:32:00Z\n"
        "e = 1979-05-27 07:32:00+02:00",
        "a = \"\"\"\nx \"\" y\\\n   z\"\"\"\"\"\nb = '''\nx'''''",
        "a = \"\"\"\"q\"\"\"\nb = '''\\d'''\nc = \"\\u00e9\\U0001F600\\t\\\\\"",
        "a = []\nb = [ ]\nc = [\n1, # one\n2,\n]\nd = [[1], ['x', 2.0]]",
        "a = {}\nb = { c.d = 1, e = { f = [ 1,\n 2 ] } }",
        "a.b.c = 1\na.b.d = 2\n[x.y.z]\n[x]\n[x.w]",
        "[[p]]\nq = 1\n[[p]]\nq = 2\n[p.r]\nq = 3\n[[p]]\n[p.r]\nq = 4",
        "[ a . \"b.c\" . 'd' ]\n\"\" = 1\n1234 = 2\n-_ = 3",
        "a = [ \"b = c\", 'd = e' ]",
        "[fruit]\napple.color = 1\napple.taste.sweet = true\n[fruit.apple.texture]\nx = 1",
        "9223372036854775807 = -9223372036854775808\nm = 9223372036854775807");
    CAPTURE(text);
    const auto value = parse_toml(text);
    INFO((value.has_error() ? value.error().message : ""));
    CHECK(value.has_value());
}

TEST_CASE("toml: a syntax error names what is wrong, where it begins", "[unit][host]") {
    const Wrong wrong = GENERATE(values<Wrong>({
        // Twice.
        {"port = 1\nport = 2",
         Kind::duplicate,
         {2, 1},
         4,
         "the key `port` is defined twice: first at line 1, column 1"},
        {"[a]\nb = 1\n[c]\n[a]",
         Kind::duplicate,
         {4, 2},
         1,
         "the table `a` is defined twice: first at line 1, column 2"},
        {"[a]\nb.c = 1\nb.c = 2",
         Kind::duplicate,
         {3, 3},
         1,
         "the key `c` is defined twice: first at line 2, column 3"},
        {"a = 1\n[a]",
         Kind::duplicate,
         {2, 2},
         1,
         "the key `a` is defined twice: first at line 1, column 1"},
        {"x = { a = 1, a = 2 }",
         Kind::duplicate,
         {1, 14},
         1,
         "the key `a` is defined twice: first at line 1, column 7"},
        {"[a]\n[[a]]",
         Kind::duplicate,
         {2, 3},
         1,
         "the table `a` is defined twice: first at line 1, column 2"},
        {"\"port\" = 1\nport = 2",
         Kind::duplicate,
         {2, 1},
         4,
         "the key `port` is defined twice: first at line 1, column 1"},
        // Never closed.
        {"a = \"hunter2\nb = 1",
         Kind::unclosed,
         {1, 5},
         1,
         "the string is not closed before the end of its line"},
        {"a = 'x",
         Kind::unclosed,
         {1, 5},
         1,
         "the string is not closed before the end of its line"},
        {"a = \"\"\"\nx\ny", Kind::unclosed, {1, 5}, 3, "this `\"\"\"` is never closed"},
        {"a = [1,\n2,\n",
         Kind::unclosed,
         {1, 5},
         1,
         "this `[` is never closed: the array runs on to line 3"},
        {"a = [1,\n2\nb = 3",
         Kind::unclosed,
         {1, 5},
         1,
         "this `[` is never closed: the array runs on to line 3"},
        {"a = [1\n[b]",
         Kind::unclosed,
         {1, 5},
         1,
         "this `[` is never closed: the array runs on to line 2"},
        {"a = { b = 1\n",
         Kind::unclosed,
         {1, 5},
         1,
         "this `{` is not closed before the end of its line"},
        {"[a\nb = 1", Kind::unclosed, {1, 1}, 1, "the table header is not closed"},
        {"[[a]\n", Kind::unclosed, {1, 1}, 2, "the table header is not closed"},
        // Words and numbers.
        {"a = True",
         Kind::word,
         {1, 5},
         4,
         "a boolean is `true` or `false`, in lower case and without quotes"},
        {"a = no",
         Kind::word,
         {1, 5},
         2,
         "a boolean is `true` or `false`, in lower case and without quotes"},
        {"a = hunter2 # x", Kind::word, {1, 5}, 7, "text needs quotes"},
        {"a = \xE2\x80\x9Cx\xE2\x80\x9D",
         Kind::word,
         {1, 5},
         1,
         "typographic quotes are no quotes in TOML"},
        {"a = 08888", Kind::number, {1, 5}, 5, "a number has no leading zero"},
        {"a = 99999999999999999999",
         Kind::number,
         {1, 5},
         20,
         "the number is too large: it does not fit 64 bits"},
        {"a = 2024-13-40", Kind::number, {1, 5}, 10, "neither a number, a date nor a boolean"},
        {"a = [1, 3.8.1]", Kind::number, {1, 9}, 5, "neither a number, a date nor a boolean"},
        {"a = 90m", Kind::number, {1, 5}, 3, "neither a number, a date nor a boolean"},
        // The rest.
        {"a = \"C:\\dir\"",
         Kind::escape,
         {1, 8},
         2,
         "a backslash in \"…\" begins an escape, and this is none"},
        {"a =\n", Kind::malformed, {1, 4}, 1, "the value is missing"},
        {"a: 1", Kind::malformed, {1, 2}, 1, "expected `=` after the key"},
        {"port 1", Kind::malformed, {1, 6}, 1, "expected `=` after the key"},
        {"a = 1 b = 2", Kind::malformed, {1, 7}, 1, "expected the end of the line"},
        {"ж = 1",
         Kind::malformed,
         {1, 1},
         1,
         "a key without quotes holds only letters A-Z a-z, digits, `_` and `-`"},
        {"a = [1 2]",
         Kind::malformed,
         {1, 8},
         1,
         "expected `,` or `]` in the array that begins at line 1, column 5"},
        {"a = \"x\x01\"", Kind::malformed, {1, 7}, 1, "a control character stands in a string"},
        {"= 1", Kind::malformed, {1, 1}, 1, "there is no key before `=`"},
    }));
    CAPTURE(wrong.text);
    const auto value = parse_toml(wrong.text);
    REQUIRE(value.has_error());
    CHECK(value.error().kind == wrong.kind);
    CHECK(value.error().position == wrong.position);
    CHECK(value.error().width == wrong.width);
    CHECK(value.error().message == wrong.message);
    CHECK_FALSE(value.error().label.empty());
}

TEST_CASE("toml: more than 64 levels are refused, however they are made", "[unit][host]") {
    const std::string text =
        GENERATE("a = " + repeated("[", 5000),
                 "a = " + repeated("{a=", 5000),
                 "[" + repeated("a.", 100'000) + "a]",
                 repeated("a.", 100'000) + "a = 1",
                 "a = { " + repeated("a.", 5000) + "a = 1 }",
                 "[" + repeated("a.", 40) + "a]\n" + repeated("b.", 40) + "b = 1");
    const auto value = parse_toml(text);
    REQUIRE(value.has_error());
    CHECK(value.error().kind == Kind::depth);
    CHECK(value.error().message == "the document is nested deeper than 64 levels");
    CHECK(parse_toml("a = " + repeated("[", 60) + repeated("]", 60)).has_value());
}
