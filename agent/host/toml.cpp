#include "agent/base/text.hpp"
#include "agent/host/toml_syntax.hpp"
#include "agent/ports/documents.hpp"

#include <algorithm>
#include <sstream>

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 1
#define TOML_MAX_NESTED_VALUES 64
#include <toml++/toml.h>

namespace agent {
namespace {

Position position_of(const toml::source_position& position) {
    return {static_cast<std::uint32_t>(position.line), static_cast<std::uint32_t>(position.column)};
}

template <class Date> Value::Date date_of(const toml::value<Date>& value) {
    std::ostringstream text;
    text << value.get();
    return {text.str()};
}

Value from_toml(const toml::node& node);

// toml++ keeps members by name; people read them as written.
Value from_table(const toml::table& table) {
    Value::Object object;
    object.reserve(table.size());
    for (const auto& [key, value] : table)
        object.push_back(
            {std::string{key.str()}, from_toml(value), position_of(key.source().begin)});
    std::sort(object.begin(), object.end(), [](const auto& a, const auto& b) {
        const Position& one = a.key_position;
        const Position& other = b.key_position;
        return one.line != other.line ? one.line < other.line : one.column < other.column;
    });
    return Value{std::move(object)};
}

Value from_toml(const toml::node& node) {
    Value value;
    switch (node.type()) {
    case toml::node_type::table:
        value = from_table(*node.as_table());
        break;
    case toml::node_type::array: {
        Value::Array array;
        array.reserve(node.as_array()->size());
        for (const auto& element : *node.as_array())
            array.push_back(from_toml(element));
        value = Value{std::move(array)};
        break;
    }
    case toml::node_type::string:
        value = Value{node.as_string()->get()};
        break;
    case toml::node_type::integer:
        value = Value{std::int64_t{node.as_integer()->get()}};
        break;
    case toml::node_type::floating_point:
        value = Value{node.as_floating_point()->get()};
        break;
    case toml::node_type::boolean:
        value = Value{node.as_boolean()->get()};
        break;
    case toml::node_type::date:
        value = Value{date_of(*node.as_date())};
        break;
    case toml::node_type::time:
        value = Value{date_of(*node.as_time())};
        break;
    case toml::node_type::date_time:
        value = Value{date_of(*node.as_date_time())};
        break;
    case toml::node_type::none:
        break;
    }
    value.position = position_of(node.source().begin);
    return value;
}

// toml++ stands somewhere inside or just behind the scalar that it refuses.
const TomlSurvey::Scalar* scalar_at(const TomlSurvey& survey, Position position) {
    for (const auto& scalar : survey.scalars)
        if (scalar.position.line == position.line && scalar.position.column <= position.column &&
            position.column <= scalar.position.column + scalar.width)
            return &scalar;
    return nullptr;
}

// What toml++ says after the first quote or comma may be taken from the document.
std::string without_quotations(std::string_view description) {
    constexpr std::string_view prefix = "Error while parsing ";
    if (description.starts_with(prefix))
        description.remove_prefix(prefix.size());
    return "not valid TOML in a " + std::string{description.substr(0, description.find(':'))};
}

SyntaxError explain(const toml::parse_error& failure, const TomlSurvey& survey) {
    const Position position = position_of(failure.source().begin);
    if (const auto* scalar = scalar_at(survey, position))
        return {SyntaxError::Kind::number,
                scalar->position,
                scalar->width,
                "neither a number, a date nor a boolean",
                "not valid in TOML",
                "text goes in quotes: \"…\""};
    return {SyntaxError::Kind::malformed,
            position,
            1,
            without_quotations(failure.description()),
            "here",
            {}};
}

} // namespace

boost::system::result<Value, SyntaxError> parse_toml(std::string_view text) {
    constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
    if (text.starts_with(byte_order_mark))
        text.remove_prefix(byte_order_mark.size());
    // First, because it bounds the depth: toml++ recurses to destroy what dotted keys nest.
    const TomlSurvey survey = survey_toml(text);
    if (survey.error)
        return *survey.error;
    const toml::parse_result result = toml::parse(text);
    if (!result)
        return explain(result.error(), survey);
    return from_table(result.table());
}

} // namespace agent
