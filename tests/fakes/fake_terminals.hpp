// Owns terminals in tests: those that the test opens, and what they were told.
#pragma once

#include "agent/ports/terminals.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace agent::test {

class FakeTerminals final : public Terminals {
public:
    [[nodiscard]] std::vector<Terminal> open() const override { return terminals; }
    void tell_all(std::string_view text) override { told.emplace_back(text); }

    std::vector<Terminal> terminals;
    std::vector<std::string> told;
};

} // namespace agent::test
