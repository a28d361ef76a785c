// Owns systemd's ear in tests: records every word in order.
#pragma once

#include "agent/ports/notify.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace agent::test {

class FakeNotifier final : public ServiceNotifier {
public:
    void ready() override { words.emplace_back("READY=1"); }
    void status(std::string_view text) override { words.push_back("STATUS=" + std::string{text}); }
    void stopping() override { words.emplace_back("STOPPING=1"); }
    void alive() override { ++pings; }
    [[nodiscard]] std::optional<std::chrono::microseconds> watchdog() const override {
        return watched;
    }

    std::optional<std::chrono::microseconds> watched;
    std::vector<std::string> words; // all but the watchdog's
    unsigned pings = 0;
};

} // namespace agent::test
