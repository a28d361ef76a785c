#include "agent/base/text.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <array>
#include <string>
#include <string_view>
#include <vector>

using namespace agent;

TEST_CASE("text: joining puts the separator between, not around", "[unit][base]") {
    CHECK(join(std::vector<std::string>{}, ", ").empty());
    CHECK(join(std::vector<std::string>{"a"}, ", ") == "a");
    CHECK(join(std::vector<std::string>{"a", "b", "c"}, ", ") == "a, b, c");
}

TEST_CASE("text: splitting keeps what is empty", "[unit][base]") {
    CHECK(split("", ',') == std::vector<std::string>{""});
    CHECK(split("a,,b,", ',') == std::vector<std::string>{"a", "", "b", ""});
}

TEST_CASE("text: trimming takes blanks and line ends from both sides", "[unit][base]") {
    CHECK(trim(" \t\r\n a b \n") == "a b");
    CHECK(trim(" \n ").empty());
    CHECK(trim("").empty());
}

TEST_CASE("text: lowering changes ASCII letters and nothing else", "[unit][base]") {
    CHECK(lower("ABCxyz-Ä") == "abcxyz-Ä");
}

TEST_CASE("text: foreign text is made fit for a message", "[unit][base]") {
    struct Row {
        std::string_view foreign;
        std::string_view shown;
    };
    using namespace std::string_view_literals;
    const auto row = GENERATE(Row{"plain", "plain"},
                              Row{"two\nlines\tand\r", "two lines and "},
                              Row{"\x1b[31mred\x1b[0m", "?[31mred?[0m"},
                              Row{"bell\a del\x7f", "bell? del?"},
                              Row{"nul\0byte"sv, "nul?byte"},
                              Row{"é ✓ 🎉 日本", "é ✓ 🎉 日本"},
                              Row{"lone \x80 continuation", "lone ? continuation"},
                              Row{"cut \xe2\x9c", "cut ??"},
                              Row{"overlong \xc0\xaf", "overlong ??"},
                              Row{"overlong \xe0\x80\xaf", "overlong ???"},
                              Row{"surrogate \xed\xa0\x80", "surrogate ???"},
                              Row{"beyond \xf4\x90\x80\x80", "beyond ????"},
                              Row{"C1 \xc2\x9b"
                                  "31m",
                                  "C1 ?31m"},
                              Row{"turned \xe2\x80\xae round \xe2\x81\xa6", "turned ? round ?"},
                              Row{"unseen \xe2\x80\x8b\xef\xbb\xbf", "unseen ??"});
    CHECK(printable(row.foreign) == row.shown);
}

TEST_CASE("text: what is too long is cut between characters and says so", "[unit][base]") {
    CHECK(printable("12345", 5) == "12345");
    CHECK(printable("123456", 5) == "12345...");
    CHECK(printable("1234é", 5) == "1234...");
    CHECK(printable(std::string(1000, 'x')) == std::string(400, 'x') + "...");
    CHECK(printable("x", 0) == "...");
    CHECK(printable("", 0).empty());
}

TEST_CASE("text: the last lines are the last that say something", "[unit][base]") {
    const std::vector<std::string> both{"b", "c"};
    CHECK(last_lines("a\n\n  b \r\nc\n\n", 2) == both);
    CHECK(last_lines("only", 4) == std::vector<std::string>{"only"});
    CHECK(last_lines("\n \n", 4).empty());
}

TEST_CASE("text: a misspelt word finds its nearest neighbour, a strange one none", "[unit][base]") {
    struct Row {
        std::string_view word;
        std::string_view nearest;
    };
    const auto row = GENERATE(Row{"pakages", "packages"},
                              Row{"pakcages", "packages"},
                              Row{"packages", "packages"},
                              Row{"prefx", "prefix"},
                              Row{"kidn", "kind"},
                              Row{"password", ""},
                              Row{"", ""},
                              Row{"xy", ""});
    constexpr std::array<std::string_view, 4> known{"kind", "prefix", "packages", "ab"};
    CHECK(nearest(row.word, known) == row.nearest);
}

TEST_CASE("text: bytes become two lower-case digits each", "[unit][base]") {
    constexpr std::array<unsigned char, 4> bytes{0x00, 0x0f, 0xa5, 0xff};
    CHECK(hex(bytes) == "000fa5ff");
    CHECK(hex({}).empty());
}
