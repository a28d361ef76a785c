// Owns the running front in tests, as the daemon sees it: what it was handed, and its answer.
#pragma once

#include "agent/ports/front_control.hpp"

#include <boost/asio/awaitable.hpp>

#include <functional>
#include <utility>
#include <vector>

namespace agent::test {

class FakeFrontControl final : public FrontControl {
public:
    // Until a test sets `answers`, nobody listens.
    boost::asio::awaitable<Result<std::string>> hand_over(FrontIdentity identity) override {
        handed.push_back(std::move(identity));
        if (!answers)
            co_return transient("Connection refused");
        co_return answers(handed.back());
    }

    std::vector<FrontIdentity> handed;
    std::function<Result<std::string>(const FrontIdentity&)> answers;
};

} // namespace agent::test
