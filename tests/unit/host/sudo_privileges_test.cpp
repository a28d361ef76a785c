#include "agent/host/sudo_privileges.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"

#include <catch2/catch_test_macros.hpp>

#include <csignal>

using namespace agent;
using namespace agent::test;

TEST_CASE("sudo: whether a user may run the agent as root is sudo's to say", "[unit][host]") {
    boost::asio::io_context io;
    FakeCommands commands;
    SudoPrivileges privileges{commands, "/bin/sh"}; // something that can be executed
    Account anna;
    anna.name = "anna";
    const auto ask = [&] { return run_coroutine(io, privileges.is_sudoer(anna)); };
    auto& sudo = commands.when({"/bin/sh", "--list", "--other-user=anna"});
    SECTION("yes") {
        sudo.exits(0, "/usr/local/bin/agent retry\n");
        CHECK(ask().value());
    }
    SECTION("no") {
        sudo.exits(1);
        CHECK_FALSE(ask().value());
    }
    SECTION("it does not say") {
        sudo.is_killed(SIGKILL);
        CHECK(ask().has_error());
    }
    CHECK(FakeCommands::has_word(commands.ran.front(), "--non-interactive"));
}

TEST_CASE("sudo: where there is none, nobody is a sudoer", "[unit][host]") {
    boost::asio::io_context io;
    FakeCommands commands;
    SudoPrivileges privileges{commands, "/no/such/sudo"};
    CHECK_FALSE(run_coroutine(io, privileges.is_sudoer({})).value());
    CHECK(commands.ran.empty());
}
