// Owns Secret: text that cannot be printed by accident.
#pragma once

#include <string>
#include <utility>

namespace agent {

class Secret {
public:
    Secret() = default;
    explicit Secret(std::string text) : text_{std::move(text)} {}

    // The one way to the text; the caller hands it to a 0600 file, a pipe or a request header.
    [[nodiscard]] const std::string& reveal() const { return text_; }
    [[nodiscard]] bool empty() const { return text_.empty(); }
    friend bool operator==(const Secret&, const Secret&) = default;

private:
    std::string text_;
};

} // namespace agent
