#include "agent/ports/crypto.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/tls_certificate.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::vector<std::string> names{"localhost", "127.0.0.1", "vm-1", "203.0.113.7"};

TlsCertificate step_for(StepWorld& world, std::vector<std::string> wanted = names) {
    return TlsCertificate{world.ports(), "vm-1", std::move(wanted)};
}

std::string why_due(StepWorld& world, std::vector<std::string> wanted = names) {
    auto step = step_for(world, std::move(wanted));
    const auto checked = world.check(step).value();
    return checked.satisfied ? "" : checked.reason;
}

StepWorld& with_certificate(StepWorld& world) {
    auto step = step_for(world);
    REQUIRE(world.apply(step).has_value());
    return world;
}

} // namespace

TEST_CASE("tls_certificate: none is due, one that names everything is not", "[unit][steps]") {
    StepWorld world;
    CHECK(why_due(world) == "there is no certificate");
    CHECK(current_certificate_sha256(world.root()).empty());
    with_certificate(world);
    CHECK(why_due(world).empty());
    CHECK(current_certificate_sha256(world.root()).size() == 64);
}

TEST_CASE("tls_certificate: a key that others could read is no key any more", "[unit][steps]") {
    StepWorld world;
    with_certificate(world);
    const auto before = current_certificate_sha256(world.root());
    std::filesystem::permissions(world.root() / layout::certificate,
                                 std::filesystem::perms::others_read,
                                 std::filesystem::perm_options::add);
    CHECK(why_due(world) == "others could read its key");
    with_certificate(world);
    CHECK(why_due(world).empty());
    CHECK(current_certificate_sha256(world.root()) != before);
}

TEST_CASE("tls_certificate: a name or an address that it lacks is due, one too many is not",
          "[unit][steps]") {
    StepWorld world;
    with_certificate(world);
    CHECK(why_due(world, {"localhost", "new.example.com"}) ==
          "the certificate does not name new.example.com");
    CHECK(why_due(world, {"127.0.0.1", "198.51.100.9"}) ==
          "the certificate does not name 198.51.100.9");
    CHECK(why_due(world, {"localhost"}).empty());
}

TEST_CASE("tls_certificate: it is made anew before it runs out", "[unit][steps]") {
    StepWorld world;
    with_certificate(world);
    world.clock.advance(std::chrono::days{3650 - 31});
    CHECK(why_due(world).empty());
    world.clock.advance(std::chrono::days{2});
    CHECK(why_due(world) == "the certificate runs out within 30 days");
    with_certificate(world);
    CHECK(why_due(world).empty());
}

TEST_CASE("tls_certificate: made with a clock in 2015, it is right for the world's clocks",
          "[unit][steps]") {
    StepWorld world;
    world.clock.wall_jump = -24h * 365 * 8;
    with_certificate(world);
    CHECK(world.clock.slept.size() == 60); // it was given a minute to be set
    const auto facts = read_certificate(world.content(layout::certificate)).value();
    CHECK(facts.not_before == world.clock.earliest() - 1h);
    CHECK(facts.not_after == world.clock.earliest() + std::chrono::days{3650});
    auto step = step_for(world);
    const auto checked = world.check(step).value();
    CHECK(checked.satisfied);
    CHECK_THAT(checked.reason, ContainsSubstring("the clock is wrong: it says 2015-"));
    // Once it has been set there is nothing to make anew, nor to say.
    world.clock.wall_jump = {};
    CHECK(why_due(world).empty());
    CHECK(world.check(step).value().reason.find("clock") == std::string::npos);
}

TEST_CASE("tls_certificate: a clock that is behind does not make a good one bad", "[unit][steps]") {
    StepWorld world;
    with_certificate(world);
    world.clock.wall_jump = -24h * 365 * 8;
    CHECK(why_due(world).empty());
}

TEST_CASE("tls_certificate: one that was made when the clock was ahead is made anew",
          "[unit][steps]") {
    StepWorld world;
    world.clock.wall_jump = 24h * 365;
    with_certificate(world);
    CHECK(why_due(world).empty());
    world.clock.wall_jump = {};
    CHECK(why_due(world) == "the certificate is not valid before 2024-11-13T22:13:20Z");
    with_certificate(world);
    CHECK(why_due(world).empty());
}

TEST_CASE("tls_certificate: what is no certificate with its key is due", "[unit][steps]") {
    StepWorld world;
    with_certificate(world);
    const std::string pem = world.content(layout::certificate);
    const auto certificate_at = pem.find("-----BEGIN CERTIFICATE");
    REQUIRE(certificate_at != std::string::npos);
    const std::string another =
        make_certificate("vm-1", names, world.clock.wall()).value().reveal();
    struct Row {
        std::string content;
        std::string why;
    };
    for (const auto& [content, why] : {
             Row{"", "cannot be read"},
             Row{"no PEM at all", "cannot be read"},
             Row{pem.substr(0, certificate_at), "cannot be read"},
             Row{pem.substr(certificate_at), "the key does not belong"},
             Row{another.substr(0, another.find("-----BEGIN CERTIFICATE")) +
                     pem.substr(certificate_at),
                 "the key does not belong"},
             Row{std::string(300'000, 'x'), "larger than"},
         }) {
        world.put(layout::certificate, content);
        CHECK_THAT(why_due(world), ContainsSubstring(why));
    }
}

TEST_CASE("tls_certificate: the key is for its owner alone, in a directory of its own",
          "[unit][steps]") {
    StepWorld world;
    const mode_t before = ::umask(0);
    with_certificate(world);
    ::umask(before);
    CHECK(world.mode(layout::certificate) == 0600U);
    CHECK(world.mode("/var/lib/agent/front") == 0700U);
    const auto directory = (world.root() / layout::certificate).parent_path();
    CHECK(std::distance(std::filesystem::directory_iterator{directory}, {}) == 1);
}

TEST_CASE("tls_certificate: however a name is written, what is made is what was asked for",
          "[unit][steps]") {
    const std::string name =
        GENERATE("Jupyter.Example.COM", "2001:DB8:0:0::1", "2001:db8::1", "::1");
    StepWorld world;
    auto step = step_for(world, {name, "localhost", "LOCALHOST"});
    REQUIRE(world.apply(step).has_value());
    CHECK(world.check(step).value().satisfied);
}

TEST_CASE("tls_certificate: its inputs are the names, in whatever order", "[unit][steps]") {
    StepWorld world;
    CHECK(step_for(world, {"b", "a", "b"}).fingerprint() ==
          step_for(world, {"a", "b"}).fingerprint());
    CHECK(step_for(world, {"a"}).fingerprint() != step_for(world, {"b"}).fingerprint());
}
