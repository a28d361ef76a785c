// Owns systemd's units in tests: states as the test sets them, every order recorded.
#pragma once

#include "agent/ports/services.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace agent::test {

class FakeServices final : public ServiceManager {
public:
    // An unknown unit is inactive, as systemctl says it.
    boost::asio::awaitable<Result<UnitState>> state(std::string unit) override {
        ++asked;
        if (on_state)
            on_state(unit);
        if (refusal)
            co_return *refusal;
        const auto found = units.find(unit);
        if (found == units.end())
            co_return UnitState{"inactive", "dead", {}, "success", 0, false};
        co_return found->second;
    }
    boost::asio::awaitable<Result<std::vector<UnitState>>>
    states(std::vector<std::string> named) override {
        std::vector<UnitState> found;
        for (const auto& unit : named) {
            auto one = co_await state(unit);
            if (!one)
                co_return one.error();
            found.push_back(std::move(*one));
        }
        co_return found;
    }
    boost::asio::awaitable<Result<void>> start(std::string unit) override {
        co_return order("start " + unit);
    }
    boost::asio::awaitable<Result<void>> restart(std::string unit) override {
        co_return order("restart " + unit);
    }
    boost::asio::awaitable<Result<void>> stop(std::string unit) override {
        co_return order("stop " + unit);
    }
    boost::asio::awaitable<Result<void>> reload_definitions() override {
        co_return order("daemon-reload");
    }
    boost::asio::awaitable<Result<void>> power_off() override { co_return order("poweroff"); }

    std::map<std::string, UnitState> units;
    std::vector<std::string> orders;
    unsigned asked = 0;
    std::function<void(const std::string&)> on_order; // after it was recorded; may change units
    std::function<void(const std::string&)> on_state; // before the answer; may change units
    std::optional<Error> refusal;

private:
    Result<void> order(std::string text) {
        orders.push_back(std::move(text));
        if (refusal)
            return *refusal;
        if (on_order)
            on_order(orders.back());
        return {};
    }
};

} // namespace agent::test
