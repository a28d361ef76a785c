#include "agent/ports/told_error.hpp"

#include "agent/base/text.hpp"

#include <string>
#include <string_view>

namespace agent {
namespace {

constexpr std::size_t longest_message = 900;

ErrorKind kind_named(std::string_view name) {
    for (const auto kind : {ErrorKind::transient, ErrorKind::misconfigured})
        if (name_of(kind) == name)
            return kind;
    return ErrorKind::permanent;
}

} // namespace

void add_error(Value::Object& answer, const Error& error) {
    answer.push_back({"kind", std::string{name_of(error.kind)}, {}});
    answer.push_back({"message", error.message, {}});
    answer.push_back({"next", error.next, {}});
}

Error told_error(const Value& answer, std::size_t longest_next) {
    return {kind_named(answer.string_or("kind", "")),
            printable(answer.string_or("message", "no reason given"), longest_message),
            printable(answer.string_or("next", ""), longest_next)};
}

} // namespace agent
