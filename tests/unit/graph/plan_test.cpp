#include "agent/graph/plan.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

using namespace agent;
using Catch::Matchers::ContainsSubstring;
using Indices = std::vector<std::size_t>;

namespace {

StepTraits step(std::string id, std::vector<std::string> needs = {}) {
    StepTraits traits;
    traits.id = std::move(id);
    traits.needs = std::move(needs);
    return traits;
}

Plan plan_of(const std::vector<StepTraits>& traits) {
    return Plan::make(traits).value();
}

// Needs only point backwards in a hidden order; the table's order is another one.
std::vector<StepTraits> random_table(std::mt19937& chance) {
    const std::size_t count = 1 + chance() % 12;
    const unsigned density = chance() % 100;
    std::vector<StepTraits> table;
    for (std::size_t i = 0; i < count; ++i) {
        table.push_back(step("s" + std::to_string(i)));
        for (std::size_t before = 0; before < i; ++before)
            if (chance() % 100 < density)
                table[i].needs.push_back(table[before].id);
    }
    std::shuffle(table.begin(), table.end(), chance);
    return table;
}

// Runs a plan to its end in a random order, with random failures; says what went against the rules.
std::string run_randomly(const std::vector<StepTraits>& table, std::mt19937& chance) {
    auto plan = plan_of(table);
    std::set<std::string> well;
    std::set<std::string> badly;
    Indices running;
    const auto is_in = [](const std::set<std::string>& ids, const std::string& id) {
        return ids.contains(id);
    };
    const unsigned failures = chance() % 60;
    std::set<std::size_t> taken;
    while (true) {
        for (const std::size_t index : plan.take_ready()) {
            if (!taken.insert(index).second)
                return table[index].id + " was taken twice";
            for (const auto& need : table[index].needs)
                if (!is_in(well, need))
                    return table[index].id + " came before " + need;
            running.push_back(index);
        }
        if (running.empty())
            break;
        const std::size_t which = chance() % running.size();
        const std::size_t index = running[which];
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(which));
        const bool fails = chance() % 100 < failures;
        (fails ? badly : well).insert(table[index].id);
        plan.finish(index, fails ? StepState::failed : StepState::applied);
    }
    if (!plan.settled())
        return "nothing runs and yet it is not settled";
    for (bool grew = true; grew;) {
        grew = false;
        for (const auto& one : table)
            if (!is_in(badly, one.id) &&
                std::any_of(one.needs.begin(), one.needs.end(), [&](const std::string& need) {
                    return is_in(badly, need);
                }))
                grew = badly.insert(one.id).second || grew;
    }
    for (std::size_t i = 0; i < table.size(); ++i) {
        const bool blocked = plan.state(i) == StepState::blocked;
        if (blocked == plan.blocked_by(i).empty())
            return table[i].id + " does not say rightly whether it is blocked";
        if (blocked == taken.contains(i))
            return table[i].id + " was neither run nor blocked, or both";
        if (blocked && !is_in(badly, table[i].id))
            return table[i].id + " is blocked by nothing";
        if (is_in(well, table[i].id) && is_in(badly, table[i].id))
            return table[i].id + " ran though what it needs failed";
    }
    return {};
}

} // namespace

TEST_CASE("plan: a step is ready once all that it needs has ended well", "[unit][graph]") {
    auto plan = plan_of({step("a"), step("b"), step("c", {"a", "b"})});
    CHECK(plan.take_ready() == Indices{0, 1});
    plan.finish(0, StepState::applied);
    CHECK(plan.take_ready().empty());
    plan.finish(1, StepState::satisfied);
    CHECK(plan.take_ready() == Indices{2});
    CHECK_FALSE(plan.settled());
    plan.finish(2, StepState::applied);
    CHECK(plan.settled());
}

TEST_CASE("plan: what is taken once is not taken again", "[unit][graph]") {
    auto plan = plan_of({step("a"), step("b")});
    CHECK(plan.take_ready().size() == 2);
    CHECK(plan.take_ready().empty());
    CHECK(plan.state(0) == StepState::running);
}

TEST_CASE("plan: what is ready at the same time comes in the table's order", "[unit][graph]") {
    auto plan = plan_of({step("d", {"z"}), step("c", {"z"}), step("z"), step("a", {"z"})});
    CHECK(plan.take_ready() == Indices{2});
    plan.finish(2, StepState::applied);
    CHECK(plan.take_ready() == Indices{0, 1, 3});
}

TEST_CASE("plan: a failed step blocks only what needs it", "[unit][graph]") {
    auto plan = plan_of({step("python"),
                         step("packages", {"python"}),
                         step("ready", {"packages", "front"}),
                         step("front"),
                         step("tls")});
    CHECK(plan.take_ready() == Indices{0, 3, 4});
    plan.finish(0, StepState::failed);
    CHECK(plan.state(1) == StepState::blocked);
    CHECK(plan.blocked_by(1) == "needs python, which failed");
    CHECK(plan.state(2) == StepState::blocked);
    CHECK(plan.blocked_by(2) == "needs packages, which is blocked");
    CHECK(plan.state(3) == StepState::running);
    CHECK(plan.blocked_by(3).empty());
    plan.finish(3, StepState::applied);
    CHECK(plan.take_ready().empty());
    plan.finish(4, StepState::failed);
    CHECK(plan.settled());
}

TEST_CASE("plan: a step that two failures block is counted once", "[unit][graph]") {
    auto plan = plan_of({step("a"), step("b"), step("c", {"a", "b"})});
    CHECK(plan.take_ready().size() == 2);
    plan.finish(0, StepState::failed);
    CHECK_FALSE(plan.settled());
    plan.finish(1, StepState::failed);
    CHECK(plan.settled());
    CHECK(plan.blocked_by(2) == "needs a, which failed");
}

TEST_CASE("plan: a table that cannot be ordered is an Error that says why", "[unit][graph]") {
    struct Row {
        std::vector<StepTraits> table;
        std::string says;
    };
    const auto row = GENERATE(
        Row{{step("a", {"b"}), step("b", {"a"})}, "need each other in a circle"},
        Row{{step("a", {"a"})}, "need each other in a circle"},
        Row{{step("x"), step("a", {"x", "c"}), step("b", {"a"}), step("c", {"b"})}, "circle"},
        Row{{step("a", {"pyhton"})}, "a needs pyhton, which is no step"},
        Row{{step("a"), step("b"), step("a")}, "two steps are called a"});
    const auto plan = Plan::make(row.table);
    REQUIRE(plan.has_error());
    CHECK(plan.error().kind == ErrorKind::permanent);
    CHECK_THAT(plan.error().message, ContainsSubstring(row.says));
}

TEST_CASE("plan: nothing to do is settled at once", "[unit][graph]") {
    auto plan = plan_of({});
    CHECK(plan.settled());
    CHECK(plan.take_ready().empty());
}

TEST_CASE("plan: every state has the name that status shows", "[unit][graph]") {
    struct Row {
        StepState state;
        std::string name;
    };
    const auto row = GENERATE(Row{StepState::pending, "pending"},
                              Row{StepState::running, "running"},
                              Row{StepState::waiting, "waiting"},
                              Row{StepState::satisfied, "satisfied"},
                              Row{StepState::applied, "applied"},
                              Row{StepState::failed, "failed"},
                              Row{StepState::blocked, "blocked"},
                              Row{StepState::skipped, "skipped"});
    CHECK(name_of(row.state) == row.name);
}

TEST_CASE("plan: whatever the graph, the order of ends and the failures, the rules hold",
          "[unit][graph]") {
    std::mt19937 chance{20240501};
    for (int graph = 0; graph < 5000; ++graph) {
        const auto table = random_table(chance);
        const std::string broken = run_randomly(table, chance);
        INFO("graph " << graph << ": " << broken);
        REQUIRE(broken.empty());
    }
}

TEST_CASE("plan: thousands of steps in a row and side by side are planned", "[unit][graph]") {
    std::vector<StepTraits> table{step("0")};
    for (int i = 1; i < 3000; ++i)
        table.push_back(step(std::to_string(i), {std::to_string(i - 1), "0"}));
    table[1].needs.pop_back();
    auto plan = plan_of(table);
    CHECK(plan.take_ready() == Indices{0});
    plan.finish(0, StepState::failed);
    CHECK(plan.settled());
}
