#include "agent/steps/account_memory.hpp"
#include "tests/fakes/fake_accounts.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>

using namespace agent;
using namespace agent::test;

namespace {

struct Machine {
    boost::asio::io_context io{1};
    FakeAccounts accounts;
    AccountMemory memory{accounts};

    Result<std::optional<Account>> find(std::string name) {
        return run_coroutine(io, memory.find(std::move(name)));
    }
    uid_t uid_of(std::string name) { return find(std::move(name)).value().value().uid; }
};

} // namespace

TEST_CASE("account memory: who was found is not asked for again until it forgets",
          "[unit][steps]") {
    Machine machine;
    machine.accounts.add("jupyter").uid = 1001;
    REQUIRE(machine.uid_of("jupyter") == 1001);

    machine.accounts.users.at("jupyter").uid = 1002;
    CHECK(machine.uid_of("jupyter") == 1001);

    machine.memory.forget();
    CHECK(machine.uid_of("jupyter") == 1002);
}

TEST_CASE("account memory: who was missing is found once he is there", "[unit][steps]") {
    Machine machine;
    CHECK_FALSE(machine.find("jupyter").value().has_value());

    machine.accounts.add("jupyter");

    CHECK(machine.find("jupyter").value().has_value());
}

TEST_CASE("account memory: a failure to ask is told and not remembered", "[unit][steps]") {
    Machine machine;
    machine.accounts.add("jupyter");
    machine.accounts.refusal = transient("getent ended by signal 9");
    CHECK_FALSE(machine.find("jupyter").has_value());

    machine.accounts.refusal.reset();

    CHECK(machine.find("jupyter").value().has_value());
}
