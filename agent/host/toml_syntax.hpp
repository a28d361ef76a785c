// Owns the places of TOML syntax errors: a survey of a document that finds the first structural
// mistake and where it begins. toml++ (host/toml.cpp) remains the judge of everything else; it
// reports the place after a token, and knows neither openers nor first definitions.
#pragma once

#include "agent/ports/documents.hpp"

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

namespace agent {

struct TomlSurvey {
    // A number, date or boolean as written; whether it is a valid one, toml++ says.
    struct Scalar {
        Position position;
        std::size_t width = 1;
    };
    std::optional<SyntaxError> error;
    std::vector<Scalar> scalars; // in written order
};

// Levels of tables, arrays and dotted keys together.
inline constexpr std::size_t toml_depth_limit = 64;

// Time and memory are linear in the text; the recursion is bounded by the depth limit.
[[nodiscard]] TomlSurvey survey_toml(std::string_view text);

} // namespace agent
