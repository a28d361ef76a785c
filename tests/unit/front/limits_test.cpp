#include "agent/front/limits.hpp"

#include <catch2/catch_test_macros.hpp>

namespace agent {

TEST_CASE("limits: one network has its share and no more", "[unit][front]") {
    SessionLimits limits{10, 2};
    CHECK(limits.admit("192.0.2.1"));
    CHECK(limits.admit("192.0.2.1"));
    CHECK_FALSE(limits.admit("192.0.2.1"));
    CHECK(limits.admit("192.0.2.2"));
    CHECK(limits.sessions() == 3);
}

TEST_CASE("limits: all networks together have theirs", "[unit][front]") {
    SessionLimits limits{2, 2};
    CHECK(limits.admit("192.0.2.1"));
    CHECK(limits.admit("192.0.2.2"));
    CHECK_FALSE(limits.admit("192.0.2.3"));
}

TEST_CASE("limits: a session that ended makes room", "[unit][front]") {
    SessionLimits limits{2, 1};
    CHECK(limits.admit("192.0.2.1"));
    limits.release("192.0.2.1");
    CHECK(limits.sessions() == 0);
    CHECK(limits.admit("192.0.2.1"));
}

TEST_CASE("limits: a refused session does not count", "[unit][front]") {
    SessionLimits limits{10, 1};
    CHECK(limits.admit("192.0.2.1"));
    CHECK_FALSE(limits.admit("192.0.2.1"));
    limits.release("192.0.2.1");
    CHECK(limits.sessions() == 0);
    limits.release("192.0.2.9");
    CHECK(limits.sessions() == 0);
}

} // namespace agent
