#include "agent/base/utf8.hpp"
#include "agent/ports/documents.hpp"

#include <boost/json.hpp>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <type_traits>

namespace agent {
namespace {

constexpr std::size_t depth_limit = 64;

Value from_json(const boost::json::value& json) {
    switch (json.kind()) {
    case boost::json::kind::null:
        return Value{nullptr};
    case boost::json::kind::bool_:
        return Value{json.get_bool()};
    case boost::json::kind::int64:
        return Value{std::int64_t{json.get_int64()}};
    case boost::json::kind::uint64:
        return Value{std::uint64_t{json.get_uint64()}};
    case boost::json::kind::double_:
        return Value{json.get_double()};
    case boost::json::kind::string:
        return Value{std::string{json.get_string()}};
    case boost::json::kind::array: {
        Value::Array array;
        array.reserve(json.get_array().size());
        for (const auto& element : json.get_array())
            array.push_back(from_json(element));
        return Value{std::move(array)};
    }
    case boost::json::kind::object: {
        Value::Object object;
        object.reserve(json.get_object().size());
        for (const auto& member : json.get_object())
            object.push_back({std::string{member.key()}, from_json(member.value()), {}});
        return Value{std::move(object)};
    }
    }
    return Value{nullptr};
}

void write_string(std::string& out, std::string_view text) {
    out += '"';
    while (!text.empty()) {
        const auto [point, length] = first_character(text);
        if (point == '"' || point == '\\') {
            out += '\\';
            out += text.front();
        } else if (point == '\n') {
            out += "\\n";
        } else if (point == '\t') {
            out += "\\t";
        } else if (length == 0) {
            out += "\\ufffd";
        } else if (point < 0x20 || point == 0x7F) {
            std::array<char, 8> escape{};
            std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(point));
            out += escape.data();
        } else {
            out += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    out += '"';
}

void write_number(std::string& out, auto number) {
    std::array<char, 32> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out.append(digits.data(), end);
}

// By hand: Boost.JSON's serializer prints 90.5 as 9.05E1 and lets invalid UTF-8 through.
void write(std::string& out, const Value& value) {
    const auto list = [&](char open, const auto& elements, char close, auto each) {
        out += open;
        for (const auto& element : elements) {
            if (&element != &elements.front())
                out += ',';
            each(element);
        }
        out += close;
    };
    const auto write_one = [&](const auto& held) {
        using Held = std::remove_cvref_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::nullptr_t>)
            out += "null";
        else if constexpr (std::is_same_v<Held, bool>)
            out += held ? "true" : "false";
        else if constexpr (std::is_same_v<Held, double>)
            std::isfinite(held) ? write_number(out, held) : static_cast<void>(out += "null");
        else if constexpr (std::is_arithmetic_v<Held>)
            write_number(out, held);
        else if constexpr (std::is_same_v<Held, std::string>)
            write_string(out, held);
        else if constexpr (std::is_same_v<Held, Value::Date>)
            write_string(out, held.text);
        else if constexpr (std::is_same_v<Held, Value::Array>)
            list('[', held, ']', [&](const Value& element) { write(out, element); });
        else
            list('{', held, '}', [&](const Value::Member& member) {
                write_string(out, member.key);
                out += ':';
                write(out, member.value);
            });
    };
    std::visit(write_one, value.data);
}

} // namespace

Result<Value> parse_json(std::string_view text) {
    boost::json::parse_options options;
    options.max_depth = depth_limit;
    boost::json::error_code failure;
    const auto json = boost::json::parse(
        {text.data(), text.size()}, failure, boost::json::storage_ptr{}, options);
    if (failure == boost::json::error::too_deep)
        return permanent("parsing JSON: nested deeper than " + std::to_string(depth_limit) +
                         " levels");
    if (failure)
        return permanent("parsing JSON: " + failure.message());
    return from_json(json);
}

std::string write_json(const Value& value) {
    std::string out;
    write(out, value);
    return out;
}

} // namespace agent
