#include "bootstrap/fitness.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

namespace agent::test {

using Catch::Matchers::ContainsSubstring;

TEST_CASE("fitness: the systemd of every system that is supported will do") {
    const auto* const answer = GENERATE("systemd 247 (247.3-7+deb11u5)\n+PAM +AUDIT\n",
                                        "systemd 249 (249.11-0ubuntu3.12)\n",
                                        "systemd 252 (252.39-1~deb12u1)\n",
                                        "systemd 257 (257.13-1~deb13u1)\n");
    CAPTURE(answer);
    CHECK(require_systemd(answer).has_value());
}

TEST_CASE("fitness: an older systemd is refused by its number, with what to use instead") {
    const auto* const answer =
        GENERATE("systemd 237\n+PAM +AUDIT +SELINUX\n", "systemd 246 (246.15)\n");
    CAPTURE(answer);
    const auto refused = require_systemd(answer);
    REQUIRE(refused.has_error());
    CHECK(refused.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(refused.error().message, ContainsSubstring("systemd is 2"));
    CHECK_THAT(refused.error().message, ContainsSubstring("247 or newer"));
    CHECK_THAT(refused.error().next, ContainsSubstring("Debian 11"));
}

TEST_CASE("fitness: a machine whose answer names no systemd is refused") {
    const auto* const answer = GENERATE("", "systemd\n", "OpenRC 0.45\n", "systemd new\n");
    CAPTURE(answer);
    const auto refused = require_systemd(answer);
    REQUIRE(refused.has_error());
    CHECK_THAT(refused.error().message, ContainsSubstring("does not run systemd"));
}

} // namespace agent::test
