// Owns Value: one tree for what TOML and JSON say, with the place each value was read from.
// Parsing and writing are ports/documents.hpp; the libraries stay in host/.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace agent {

// 1-based; 0 means "nowhere" (a value made in memory).
struct Position {
    std::uint32_t line = 0;
    std::uint32_t column = 0;
    friend bool operator==(const Position&, const Position&) = default;
};

class Value {
public:
    using Array = std::vector<Value>;
    struct Member;                      // key, its position, and its value
    using Object = std::vector<Member>; // in written order
    // A TOML date or time: no key of ours takes one, but a diagnostic must be able to name it.
    struct Date {
        std::string text;
    };
    using Data = std::variant<std::nullptr_t,
                              bool,
                              std::int64_t,
                              std::uint64_t, // only what does not fit std::int64_t
                              double,
                              std::string,
                              Date,
                              Array,
                              Object>;

    Value();
    Value(std::nullptr_t);
    Value(bool value);
    Value(int value);
    Value(std::int64_t value);
    Value(std::uint64_t value);
    Value(double value);
    Value(const char* value);
    Value(std::string value);
    Value(Date value);
    Value(Array value);
    Value(Object value);

    [[nodiscard]] const std::string* as_string() const { return std::get_if<std::string>(&data); }
    [[nodiscard]] const std::int64_t* as_integer() const {
        return std::get_if<std::int64_t>(&data);
    }
    [[nodiscard]] const bool* as_bool() const { return std::get_if<bool>(&data); }
    [[nodiscard]] const Array* as_array() const { return std::get_if<Array>(&data); }
    [[nodiscard]] const Object* as_object() const { return std::get_if<Object>(&data); }
    // "string", "integer", "array", "table" …: TOML's words, for diagnostics.
    [[nodiscard]] std::string type_name() const;

    // The member of an object, or nullptr (also when this is no object).
    [[nodiscard]] const Value* find(const std::string& key) const;
    // The string/integer member, or the fallback when it is absent or of another type.
    [[nodiscard]] std::string string_or(const std::string& key, std::string fallback) const;
    [[nodiscard]] std::int64_t integer_or(const std::string& key, std::int64_t fallback) const;

    Data data;
    Position position;
};

struct Value::Member {
    std::string key;
    Value value;
    Position key_position;
};

// Here, because a Value can only be made where Member is complete.
inline Value::Value() : data{nullptr} {}
inline Value::Value(std::nullptr_t) : data{nullptr} {}
inline Value::Value(bool value) : data{value} {}
inline Value::Value(int value) : data{std::int64_t{value}} {}
inline Value::Value(std::int64_t value) : data{value} {}
inline Value::Value(double value) : data{value} {}
inline Value::Value(const char* value) : data{std::string{value}} {}
inline Value::Value(std::string value) : data{std::move(value)} {}
inline Value::Value(Date value) : data{std::move(value)} {}

} // namespace agent
