#include "agent/ports/documents.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <limits>
#include <string>

using agent::parse_json;
using agent::Value;
using agent::write_json;

TEST_CASE("json: what is written in one line reads back the same", "[unit][host]") {
    const std::string text = GENERATE(as<std::string>{},
                                      "null",
                                      "true",
                                      "-17",
                                      "9223372036854775807",
                                      "18446744073709551615",
                                      "90.5",
                                      R"("a\"b\\c\nd\te\u0001\u007f é 日")",
                                      "[]",
                                      "{}",
                                      "[[],[1,[2]],{}]",
                                      R"({"z":1,"a":[{"b":null}],"m":{"n":false}})");
    const auto value = parse_json(text);
    REQUIRE(value.has_value());
    CHECK(write_json(*value) == text);
}

TEST_CASE("json: an instance id beyond int64 stays exact", "[unit][host]") {
    const auto value = parse_json(R"({"id": 16045690984833335023})");
    REQUIRE(value.has_value());
    const auto* id = std::get_if<std::uint64_t>(&value->find("id")->data);
    REQUIRE(id);
    CHECK(*id == 16045690984833335023U);
}

TEST_CASE("json: what is no JSON is refused with a reason", "[unit][host]") {
    const std::string text = GENERATE(
        as<std::string>{}, "", "{", "{]", "tru", "[1,]", "{\"a\":1} x", "\"\xff\"", "'a'", "nan");
    CAPTURE(text);
    const auto value = parse_json(text);
    REQUIRE(value.has_error());
    CHECK(value.error().kind == agent::ErrorKind::permanent);
    CHECK(value.error().message.starts_with("parsing JSON: "));
}

TEST_CASE("json: 64 levels are read, more are refused", "[unit][host]") {
    const auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    CHECK(parse_json(nested(64)).has_value());
    const auto deep = parse_json(nested(5000));
    REQUIRE(deep.has_error());
    CHECK(deep.error().message == "parsing JSON: nested deeper than 64 levels");
}

TEST_CASE("json: what JSON cannot say is written as the nearest that it can", "[unit][host]") {
    CHECK(write_json(Value{std::numeric_limits<double>::infinity()}) == "null");
    CHECK(write_json(Value{std::string{"a\xff"
                                       "b"}}) == R"("a\ufffdb")");
    CHECK(write_json(Value{Value::Date{"2024-01-02"}}) == R"("2024-01-02")");
}
