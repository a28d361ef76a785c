#include "agent/base/document.hpp"

#include <limits>

namespace agent {

Value::Value(std::uint64_t value) {
    if (value <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        data = static_cast<std::int64_t>(value);
    else
        data = value;
}

Value::Value(Array value) : data{std::move(value)} {}
Value::Value(Object value) : data{std::move(value)} {}

std::string Value::type_name() const {
    constexpr const char* names[] = {
        "null", "boolean", "integer", "integer", "float", "string", "date", "array", "table"};
    static_assert(std::size(names) == std::variant_size_v<Data>);
    return names[data.index()];
}

const Value* Value::find(const std::string& key) const {
    if (const Object* object = as_object())
        for (const Member& member : *object)
            if (member.key == key)
                return &member.value;
    return nullptr;
}

std::string Value::string_or(const std::string& key, std::string fallback) const {
    const Value* value = find(key);
    const std::string* text = value ? value->as_string() : nullptr;
    if (text)
        return *text;
    return fallback;
}

std::int64_t Value::integer_or(const std::string& key, std::int64_t fallback) const {
    const Value* value = find(key);
    const std::int64_t* number = value ? value->as_integer() : nullptr;
    return number ? *number : fallback;
}

} // namespace agent
