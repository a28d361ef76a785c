#include "agent/steps/work_mark.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

class Work {
public:
    Work() { world.commands.when({"sync"}).exits(0); }
    [[nodiscard]] bool is_set() const { return mark.is_set().value(); }
    [[nodiscard]] Result<void> lift() {
        boost::asio::io_context io;
        return run_coroutine(
            io, mark.lift(world.context, world.accounts.add("jupyter"), "/opt/jupyter"));
    }

    StepWorld world;
    WorkMark mark = WorkMark::beside(world.root(), "/opt/jupyter", "python");
};

} // namespace

TEST_CASE("work mark: it stands from the start of the work until its fruits are on the disk",
          "[unit][steps]") {
    Work work;
    CHECK_FALSE(work.is_set());
    REQUIRE(work.mark.set().has_value());
    CHECK(work.is_set());
    CHECK(work.world.has("/opt/.jupyter.agent-python"));
    bool stood = false;
    work.world.commands.when({"sync"}).exits(0).does(
        [&](const Command&) { stood = work.is_set(); });
    REQUIRE(work.lift().has_value());
    CHECK(stood);
    CHECK_FALSE(work.is_set());
    const auto& sync = work.world.commands.ran.back();
    CHECK(FakeCommands::line(sync) == "/usr/bin/sync --file-system -- /opt/jupyter");
    REQUIRE(sync.as.has_value());
    CHECK(sync.as->name == "jupyter");
}

TEST_CASE("work mark: it stays where the disk did not take what was written", "[unit][steps]") {
    Work work;
    work.world.commands.when({"sync"}).exits(1, "", "sync: error syncing: Input/output error\n");
    REQUIRE(work.mark.set().has_value());
    const auto lifted = work.lift();
    REQUIRE(lifted.has_error());
    CHECK(lifted.error().kind == ErrorKind::transient);
    CHECK_THAT(lifted.error().message, ContainsSubstring("writing /opt/jupyter to the disk"));
    CHECK_THAT(lifted.error().message, ContainsSubstring("Input/output error"));
    CHECK(work.is_set());
}

TEST_CASE("work mark: each step has one of its own, and a mark that was cut short counts",
          "[unit][steps]") {
    Work work;
    const auto other = WorkMark::beside(work.world.root(), "/opt/jupyter", "python_packages");
    REQUIRE(other.set().has_value());
    CHECK_FALSE(work.is_set());
    work.world.put("/opt/.jupyter.agent-python", "");
    CHECK(work.is_set());
}
