#include "agent/base/stop.hpp"
#include "agent/ports/layout.hpp"
#include "agent/supervise/limit_keeper.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_services.hpp"
#include "tests/fakes/fake_terminals.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Begin = SetupClock::Begin;
using Catch::Matchers::ContainsSubstring;
using Fate = PlannedStop::Fate;
using Standing = LimitKeeper::Standing;

namespace {

constexpr LimitRules stopping{.stops_on_failure = true};

class Machine {
public:
    Machine() {
        std::filesystem::create_directories(root_.path() / "run/agent");
        start();
    }
    // As a daemon that starts, after one that ended however it did.
    void start() {
        keeper.emplace(LimitKeeper::World{io,
                                          root_.root(),
                                          clock,
                                          services,
                                          terminals,
                                          [this]() -> const Hold& { return hold; },
                                          [this] { ++changes; }});
    }
    void look() { run_coroutine(io, keeper->look()); }
    void pass(std::chrono::milliseconds time) {
        clock.advance(time);
        look();
    }
    void fail(LimitRules rules = stopping) {
        keeper->begin(rules, "a", Begin::going_on);
        keeper->stands(Standing::failed, "python: no such package");
        look();
    }
    void hold_for(std::chrono::seconds time) {
        hold.extend({clock.since_boot(), clock.wall()}, time, "anna");
        look();
    }
    [[nodiscard]] bool off() const {
        return services.orders == std::vector<std::string>{"poweroff"};
    }
    [[nodiscard]] std::filesystem::path file() const { return root_.root() / layout::limits_file; }
    [[nodiscard]] std::optional<PlannedStop> shown() const {
        return read_planned_stop(root_.root()).value();
    }

    boost::asio::io_context io;
    FakeClock clock{FakeClock::Advance::by_hand};
    FakeServices services;
    FakeTerminals terminals;
    Hold hold;
    unsigned changes = 0;
    std::optional<LimitKeeper> keeper;

private:
    TempRoot root_{TempRoot::in_memory()};
};

} // namespace

TEST_CASE("limit keeper: a failed machine is told of and powered off", "[unit][supervise]") {
    Machine machine;
    machine.fail();
    CHECK(machine.changes == 1);
    REQUIRE(machine.keeper->near_stop());
    CHECK(machine.keeper->near_stop()->fate == Fate::powers_off);
    CHECK(machine.shown() == *machine.keeper->near_stop());
    REQUIRE(machine.terminals.told.size() == 1);
    CHECK_THAT(machine.terminals.told.front(),
               ContainsSubstring("its setup has failed: python: no such package.\n"));
    machine.pass(9min);
    CHECK(machine.terminals.told.size() == 2);
    CHECK(machine.changes == 1);
    CHECK(machine.services.orders.empty());
    machine.pass(1min);
    CHECK(machine.off());
    CHECK(machine.shown()->fate == Fate::powered_off);
    CHECK(machine.changes == 2);
}

TEST_CASE("limit keeper: without the wish a failed machine stays", "[unit][supervise]") {
    Machine machine;
    machine.fail(LimitRules{});
    machine.pass(100h);
    CHECK(machine.services.orders.empty());
    CHECK(machine.terminals.told.empty());
    CHECK_FALSE(machine.keeper->next_look().has_value());
    CHECK_FALSE(machine.shown().has_value());
}

TEST_CASE("limit keeper: a daemon that is started again goes on counting", "[unit][supervise]") {
    Machine machine;
    machine.fail();
    machine.clock.advance(5min);
    machine.start();
    // It begins again with what it has failed of, and stops nothing meanwhile.
    machine.keeper->begin(stopping, "a", Begin::going_on);
    machine.look();
    CHECK_FALSE(machine.keeper->near_stop());
    machine.pass(6min);
    CHECK(machine.services.orders.empty());
    machine.keeper->stands(Standing::failed, "the same");
    machine.look();
    CHECK(machine.services.orders.empty()); // it has a minute's notice
    machine.pass(1min);
    CHECK(machine.off());
}

TEST_CASE("limit keeper: another configuration, a retry or a success is a new start",
          "[unit][supervise]") {
    Machine machine;
    machine.fail();
    machine.pass(9min);
    const auto what = GENERATE(0, 1, 2);
    if (what == 0)
        machine.keeper->begin(stopping, "b", Begin::going_on);
    else if (what == 1)
        machine.keeper->begin(stopping, "a", Begin::anew);
    else
        machine.keeper->stands(Standing::done);
    machine.look();
    CHECK_FALSE(machine.shown().has_value());
    machine.keeper->stands(Standing::failed, "again");
    machine.pass(9min);
    CHECK(machine.services.orders.empty());
    machine.pass(1min);
    CHECK(machine.off());
}

TEST_CASE("limit keeper: what runs again by itself has not failed for good", "[unit][supervise]") {
    Machine machine;
    machine.keeper->begin(stopping, "a", Begin::going_on);
    machine.keeper->stands(Standing::trying_again, "the mirror does not answer");
    machine.pass(30min);
    CHECK(machine.services.orders.empty());
    CHECK(machine.keeper->setup_spent() == 30min);
}

TEST_CASE("limit keeper: the setup's clock outlives the daemon and stands while people are waited "
          "for",
          "[unit][supervise]") {
    Machine machine;
    machine.keeper->begin(stopping, "a", Begin::going_on);
    CHECK(machine.keeper->setup_spent() == 0min);
    machine.pass(10min);
    machine.keeper->stands(Standing::waiting);
    machine.pass(5h);
    CHECK(machine.keeper->setup_spent() == 10min);
    machine.start();
    machine.keeper->begin(stopping, "a", Begin::going_on);
    machine.pass(20min);
    CHECK(machine.keeper->setup_spent() == 30min);
    machine.start();
    machine.pass(5min); // also while no daemon runs
    machine.keeper->begin(stopping, "a", Begin::going_on);
    CHECK(machine.keeper->setup_spent() == 35min);
    machine.pass(1h);
    CHECK(machine.keeper->setup_spent() == 95min);
    machine.keeper->begin(stopping, "a", Begin::anew);
    CHECK(machine.keeper->setup_spent() == 0min);
}

TEST_CASE("limit keeper: a failed setup uses up no more of its time", "[unit][supervise]") {
    Machine machine;
    machine.keeper->begin(stopping, "a", Begin::going_on);
    machine.pass(10min);
    machine.keeper->stands(Standing::failed, "x");
    machine.clock.advance(3h);
    CHECK(machine.keeper->setup_spent() == 10min);
}

TEST_CASE("limit keeper: a hold stops the stop, and its release brings it back",
          "[unit][supervise]") {
    Machine machine;
    machine.fail();
    machine.hold_for(2h);
    CHECK(machine.shown()->fate == Fate::held);
    machine.pass(119min);
    CHECK(machine.services.orders.empty());
    machine.hold.release(machine.clock.since_boot());
    machine.look();
    CHECK(machine.shown()->fate == Fate::powers_off);
    machine.pass(1min);
    CHECK(machine.off());
}

TEST_CASE("limit keeper: somebody at a terminal puts the stop off", "[unit][supervise]") {
    Machine machine;
    machine.terminals.terminals = {{"pts/0", machine.clock.wall() - 5h}};
    machine.fail();
    machine.pass(8min);
    machine.terminals.terminals = {{"pts/0", machine.clock.wall()}};
    machine.pass(1min);
    machine.pass(9min);
    CHECK(machine.services.orders.empty());
    machine.pass(1min);
    CHECK(machine.off());
}

TEST_CASE("limit keeper: a lifetime counts from the boot of this machine", "[unit][supervise]") {
    Machine machine; // its clock says an hour
    machine.keeper->begin({.lifetime = 2h}, "a", Begin::going_on);
    machine.keeper->stands(Standing::done);
    machine.look();
    CHECK_FALSE(machine.keeper->near_stop());
    CHECK(machine.shown()->cause == StopCause::lifetime);
    machine.pass(31min);
    CHECK(machine.keeper->near_stop());
    machine.pass(28min);
    REQUIRE_FALSE(machine.terminals.told.empty());
    CHECK_THAT(machine.terminals.told.back(), ContainsSubstring("its lifetime ends"));
    CHECK(machine.services.orders.empty());
    machine.pass(1min);
    CHECK(machine.off());
}

TEST_CASE("limit keeper: a member of an instance group stays up, also when the metadata server "
          "has gone since",
          "[unit][supervise]") {
    Machine machine;
    machine.keeper->created_by("projects/1/zones/z/instanceGroupManagers/workers");
    machine.fail();
    CHECK(machine.keeper->near_stop()->fate == Fate::stays);
    machine.start();
    machine.fail();
    machine.pass(100h);
    CHECK(machine.services.orders.empty());
    CHECK(machine.terminals.told.empty());
    CHECK(machine.shown()->group == "workers");
}

TEST_CASE("limit keeper: when systemd refuses it is asked again", "[unit][supervise]") {
    Machine machine;
    machine.services.refusal = transient("systemctl poweroff: exited with status 1");
    machine.fail();
    machine.pass(10min);
    machine.pass(1min);
    CHECK(machine.services.orders == std::vector<std::string>{"poweroff", "poweroff"});
}

TEST_CASE("limit keeper: a file that is none is set aside by the next one", "[unit][supervise]") {
    Machine machine;
    const auto content = GENERATE(
        as<std::string>{}, "", "{", "[]", "{\"version\":2}", "{\"version\":1,\"setup\":\"x\"}");
    std::ofstream{machine.file()} << content;
    machine.start();
    machine.fail();
    CHECK(machine.shown().has_value());
    machine.pass(10min);
    CHECK(machine.off());
}

TEST_CASE("limit keeper: what has not changed is not written again", "[unit][supervise]") {
    Machine machine;
    machine.fail();
    std::filesystem::remove(machine.file());
    machine.pass(15s);
    machine.pass(15s);
    CHECK_FALSE(std::filesystem::exists(machine.file()));
}

TEST_CASE("limit keeper: its loop looks when it is woken, and ends when it is asked to",
          "[unit][supervise]") {
    Machine machine;
    std::stop_source stop;
    const auto people = [](Machine& vm, std::stop_source& end) -> boost::asio::awaitable<void> {
        boost::asio::steady_timer timer{vm.io};
        const auto turn = [&timer]() { timer.expires_after(1ms); };
        turn();
        co_await timer.async_wait(boost::asio::use_awaitable);
        vm.keeper->begin(stopping, "a", Begin::going_on);
        vm.keeper->stands(Standing::failed, "x");
        while (!vm.keeper->near_stop()) {
            turn();
            co_await timer.async_wait(boost::asio::use_awaitable);
        }
        end.request_stop();
    };
    boost::asio::co_spawn(machine.io, people(machine, stop), [](const auto& failure) {
        if (failure)
            std::rethrow_exception(failure);
    });
    CHECK_THROWS_AS(run_coroutine(machine.io, machine.keeper->run(stop.get_token())), Stopped);
    CHECK(machine.terminals.told.size() == 1);
}
