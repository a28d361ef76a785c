#include "tests/model/model.hpp"

#include <catch2/catch_message.hpp>
#include <catch2/catch_test_macros.hpp>

using namespace agent::test;

TEST_CASE("model: whatever fails, and whenever the power is cut, the rules hold and it converges",
          "[unit][graph]") {
    // `ctest -R model` makes many more, without the sanitizers.
    for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
        const auto outcome = run_model(seed);
        INFO("seed " << seed << ": " << outcome.broken);
        REQUIRE(outcome.broken.empty());
    }
}
