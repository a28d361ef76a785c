#include "agent/host/systemd_services.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/support/run_coroutine.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Machine {
    boost::asio::io_context io{1};
    FakeCommands commands;
    SystemdServices services{commands};

    Result<std::vector<UnitState>> states(std::vector<std::string> units) {
        return run_coroutine(io, services.states(std::move(units)));
    }
};

} // namespace

TEST_CASE("systemd: several units are asked for with one question and told in its order",
          "[unit][host]") {
    Machine machine;
    machine.commands.when({"systemctl", "show"})
        .exits(0,
               "NRestarts=2\nStatusText=Relaying to Jupyter.\nActiveState=active\n"
               "SubState=running\nResult=success\nNeedDaemonReload=no\n"
               "\n"
               "StatusText=\nActiveState=activating\nSubState=auto-restart\n"
               "Result=exit-code\nNeedDaemonReload=yes\n");

    const auto states = machine.states({"agent-front.service", "agent-jupyter.service"});

    REQUIRE(states.has_value());
    REQUIRE(states->size() == 2);
    CHECK(states->at(0).is_active());
    CHECK(states->at(0).restarts == 2);
    CHECK(states->at(0).status_text == "Relaying to Jupyter.");
    CHECK_FALSE(states->at(0).needs_reload);
    CHECK(states->at(1).active == "activating");
    CHECK(states->at(1).sub == "auto-restart");
    CHECK(states->at(1).result == "exit-code");
    CHECK(states->at(1).needs_reload);
    REQUIRE(machine.commands.ran.size() == 1);
    const auto& argv = machine.commands.ran.front().argv;
    CHECK(std::vector<std::string>(argv.end() - 3, argv.end()) ==
          std::vector<std::string>{"--", "agent-front.service", "agent-jupyter.service"});
}

TEST_CASE("systemd: an answer about fewer units than were asked for is no answer", "[unit][host]") {
    Machine machine;
    machine.commands.when({"systemctl", "show"}).exits(0, "ActiveState=active\n");

    const auto states = machine.states({"a.service", "b.socket"});

    REQUIRE_FALSE(states.has_value());
    CHECK(states.error().kind == ErrorKind::transient);
    CHECK_THAT(states.error().message, ContainsSubstring("a.service and b.socket"));
}

TEST_CASE("systemd: a manager that does not answer is an error that passes", "[unit][host]") {
    Machine machine;
    machine.commands.when({"systemctl", "show"})
        .exits(1, "", "Failed to connect to bus: No such file or directory\n");

    const auto state = run_coroutine(machine.io, machine.services.state("a.service"));

    REQUIRE_FALSE(state.has_value());
    CHECK(state.error().kind == ErrorKind::transient);
    CHECK_THAT(state.error().message, ContainsSubstring("the state of a.service"));
    CHECK_THAT(state.error().message, ContainsSubstring("Failed to connect to bus"));
}

TEST_CASE("systemd: a machine is powered off whatever inhibits it, and systemd is not waited for",
          "[unit][host]") {
    Machine machine;
    machine.commands.when({"systemctl", "poweroff"}).exits(0);
    CHECK(run_coroutine(machine.io, machine.services.power_off()).has_value());
    REQUIRE(machine.commands.ran.size() == 1);
    CHECK(machine.commands.ran.front().argv ==
          std::vector<std::string>{"/usr/bin/systemctl", "-i", "--no-wall", "poweroff"});
    machine.commands.when({"systemctl", "poweroff"}).exits(1, "", "Failed to connect to bus\n");
    const auto refused = run_coroutine(machine.io, machine.services.power_off());
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().kind == ErrorKind::transient);
}
