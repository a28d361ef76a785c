#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/ready.hpp"
#include "agent/steps/tls_certificate.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

class Machine {
public:
    Machine() {
        world.accounts.add("nobody");
        TlsCertificate certificate{world.ports(), "vm", {"localhost"}};
        REQUIRE(world.apply(certificate).has_value());
        world.put(layout::front_token, std::string(64, 'a'));
    }

    StepWorld world;
    Ready step{world.ports(), 8888};
};

} // namespace

TEST_CASE("ready: the probe is nobody's, and its token comes on standard input", "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"worker", "probe"}).exits(0, "{\"ok\":true}\n");
    CHECK(machine.world.check(machine.step).value().satisfied);
    const auto& probe = machine.world.commands.ran.front();
    CHECK(FakeCommands::line(probe) == "/proc/self/exe worker probe");
    REQUIRE(probe.as.has_value());
    CHECK(probe.as->name == "nobody");
    for (const auto& [name, value] : probe.environment)
        CHECK_THAT(value, !ContainsSubstring("aaaa"));
    const auto question = parse_json(probe.input).value();
    CHECK(question.string_or("token", "") == std::string(64, 'a'));
    CHECK(question.string_or("address", "") == "127.0.0.1");
    CHECK(question.integer_or("port", 0) == 8888);
    CHECK(question.string_or("certificate_sha256", "") ==
          current_certificate_sha256(machine.world.root()));
    CHECK(machine.world.context.lines.empty());
}

TEST_CASE("ready: it waits until Jupyter answers", "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"probe"})
        .exits(0, R"({"ok":false,"kind":"transient","message":"refused","next":""})")
        .exits(0, "nonsense")
        .exits(1, "", "killed by its limits")
        .exits(0, R"({"ok":true})");
    CHECK(machine.world.apply(machine.step).has_value());
    CHECK(machine.world.commands.ran.size() == 4);
}

TEST_CASE("ready: at boot the front is given a moment before it counts as due", "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"probe"})
        .exits(0, R"({"ok":false,"kind":"transient","message":"refused","next":""})")
        .exits(0, R"({"ok":true})");
    CHECK(machine.world.check(machine.step).value().satisfied);
    machine.world.commands.when({"probe"}).exits(
        0, R"({"ok":false,"kind":"transient","message":"refused","next":""})");
    const auto begin = machine.world.clock.now();
    const auto checked = machine.world.check(machine.step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK(checked.reason == "refused");
    CHECK(machine.world.clock.now() - begin <= std::chrono::seconds{6});
}

TEST_CASE("ready: a Jupyter that is open to everybody is not waited for", "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"probe"}).exits(
        0, R"({"ok":false,"kind":"permanent","message":"Jupyter is open","next":"close it"})");
    const auto applied = machine.world.apply(machine.step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::permanent);
    CHECK_THAT(applied.error().message, ContainsSubstring("Jupyter is open"));
    CHECK(applied.error().next == "close it");
    CHECK(machine.world.commands.ran.size() == 1);
}

TEST_CASE("ready: its patience ends, and the last answer is told", "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"probe"}).exits(
        0, R"({"ok":false,"kind":"transient","message":"connection refused","next":""})");
    const auto begin = machine.world.clock.now();
    const auto applied = machine.world.apply(machine.step);
    REQUIRE(applied.has_error());
    CHECK_THAT(applied.error().message, ContainsSubstring("connection refused"));
    CHECK(machine.world.clock.now() - begin <= std::chrono::seconds{61});
}

TEST_CASE("ready: what is missing for the probe is said, and nothing is started", "[unit][steps]") {
    Machine machine;
    SECTION("no token") {
        std::filesystem::remove(machine.world.root() / layout::front_token);
    }
    SECTION("no certificate") {
        std::filesystem::remove(machine.world.root() / layout::certificate);
    }
    SECTION("nobody") {
        machine.world.accounts.users.clear();
    }
    const auto checked = machine.world.check(machine.step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK_FALSE(checked.reason.empty());
    CHECK(machine.world.commands.ran.empty());
}
