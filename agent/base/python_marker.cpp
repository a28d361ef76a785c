#include "agent/base/python_marker.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <array>
#include <compare>
#include <vector>

namespace agent {
namespace {

constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz_";
constexpr std::string_view digits = "0123456789";
constexpr int deepest = 32; // brackets in brackets

std::optional<std::vector<unsigned long>> numbers_of(std::string_view version) {
    std::vector<unsigned long> numbers;
    for (const std::string& part : split(version, '.')) {
        if (part.empty() || part.size() > 9 || part.find_first_not_of(digits) != std::string::npos)
            return std::nullopt;
        numbers.push_back(std::stoul(part));
    }
    return numbers;
}

template <class Ordered>
std::optional<bool> compare(std::string_view op, const Ordered& left, const Ordered& right) {
    if (op == "==")
        return left == right;
    if (op == "!=")
        return left != right;
    if (op == "<")
        return left < right;
    if (op == "<=")
        return left <= right;
    if (op == ">")
        return left > right;
    if (op == ">=")
        return left >= right;
    return std::nullopt;
}

std::optional<bool>
compare_versions(std::string_view op, std::string_view left, std::string_view right) {
    constexpr std::string_view any = ".*";
    const bool is_prefix = right.ends_with(any);
    if (is_prefix)
        right.remove_suffix(any.size());
    auto a = numbers_of(left);
    auto b = numbers_of(right);
    if (!a || !b || (is_prefix && op != "==" && op != "!="))
        return std::nullopt;
    if (is_prefix)
        a->resize(b->size());
    // 3.9 and 3.9.0 are one version.
    const auto length = std::max(a->size(), b->size());
    a->resize(length);
    b->resize(length);
    return compare(op, *a, *b);
}

class Parser {
public:
    Parser(std::string_view text, const PythonFacts& facts) : rest_{text}, facts_{facts} {}

    std::optional<bool> whole() {
        const auto holds = any_of(0);
        skip_blanks();
        return rest_.empty() ? holds : std::nullopt;
    }

private:
    struct Operand {
        std::string_view text;
        bool is_variable = false;
        bool is_version = false;
    };

    void skip_blanks() { rest_ = trim(rest_); }

    bool take(std::string_view token) {
        skip_blanks();
        if (!rest_.starts_with(token))
            return false;
        rest_.remove_prefix(token.size());
        return true;
    }

    bool take_word(std::string_view word) {
        skip_blanks();
        if (rest_.substr(0, rest_.find_first_not_of(letters)) != word)
            return false;
        rest_.remove_prefix(word.size());
        return true;
    }

    std::optional<bool> any_of(int depth) {
        auto holds = all_of(depth);
        while (holds && take_word("or")) {
            const auto other = all_of(depth);
            if (!other)
                return std::nullopt;
            holds = *holds || *other;
        }
        return holds;
    }

    std::optional<bool> all_of(int depth) {
        auto holds = one(depth);
        while (holds && take_word("and")) {
            const auto other = one(depth);
            if (!other)
                return std::nullopt;
            holds = *holds && *other;
        }
        return holds;
    }

    std::optional<bool> one(int depth) {
        if (depth > deepest)
            return std::nullopt;
        if (!take("("))
            return comparison();
        const auto holds = any_of(depth + 1);
        return take(")") ? holds : std::nullopt;
    }

    std::optional<Operand> operand() {
        skip_blanks();
        if (!rest_.empty() && (rest_.front() == '"' || rest_.front() == '\'')) {
            const auto end = rest_.find(rest_.front(), 1);
            if (end == std::string_view::npos)
                return std::nullopt;
            const Operand quoted{rest_.substr(1, end - 1)};
            rest_.remove_prefix(end + 1);
            return quoted;
        }
        const auto name = rest_.substr(0, rest_.find_first_not_of(letters));
        rest_.remove_prefix(name.size());
        if (name == "python_version")
            return Operand{minor_version(), true, true};
        if (name == "python_full_version" || name == "implementation_version")
            return Operand{facts_.version, true, true};
        if (name == "platform_machine")
            return Operand{facts_.machine, true};
        constexpr std::array<std::pair<std::string_view, std::string_view>, 5> constants{
            {{"sys_platform", "linux"},
             {"platform_system", "Linux"},
             {"os_name", "posix"},
             {"implementation_name", "cpython"},
             {"platform_python_implementation", "CPython"}}};
        for (const auto& [variable, value] : constants)
            if (name == variable)
                return Operand{value, true};
        return std::nullopt;
    }

    std::string_view minor_version() const {
        const std::string_view version = facts_.version;
        const auto dot = version.find('.');
        return dot == std::string_view::npos ? version
                                             : version.substr(0, version.find('.', dot + 1));
    }

    std::string_view take_operator() {
        constexpr std::array<std::string_view, 6> operators{"==", "!=", "<=", ">=", "<", ">"};
        for (const auto op : operators)
            if (take(op))
                return op;
        if (take_word("in"))
            return "in";
        if (take_word("not") && take_word("in"))
            return "not in";
        return {};
    }

    std::optional<bool> comparison() {
        const auto left = operand();
        if (!left)
            return std::nullopt;
        const auto op = take_operator();
        const auto right = operand();
        if (op.empty() || !right || left->is_variable == right->is_variable)
            return std::nullopt;
        if (op == "in" || op == "not in")
            return (right->text.find(left->text) != std::string_view::npos) == (op == "in");
        if (left->is_version || right->is_version)
            return compare_versions(op, left->text, right->text);
        if (op != "==" && op != "!=")
            return std::nullopt;
        return compare(op, left->text, right->text);
    }

    std::string_view rest_;
    const PythonFacts& facts_;
};

} // namespace

std::pair<std::string_view, std::string_view> split_marker(std::string_view requirement) {
    const auto semicolon = requirement.find(';');
    if (semicolon == std::string_view::npos)
        return {trim(requirement), {}};
    return {trim(requirement.substr(0, semicolon)), trim(requirement.substr(semicolon + 1))};
}

std::optional<bool> marker_holds(std::string_view marker, const PythonFacts& facts) {
    return Parser{marker, facts}.whole();
}

} // namespace agent
