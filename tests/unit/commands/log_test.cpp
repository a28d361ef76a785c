#include "agent/commands/log.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/step_log.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <sstream>
#include <string>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

class Shown {
public:
    Shown() { std::filesystem::create_directories(root_.root() / layout::log_directory); }
    int log(const std::string& step) {
        out.str("");
        err.str("");
        return log_command({step, false}, root_.root(), [] { return false; }, out, err);
    }
    [[nodiscard]] Root root() const { return root_.root(); }

    FakeClock clock;
    std::ostringstream out;
    std::ostringstream err;

private:
    TempRoot root_{TempRoot::in_memory()};

public:
    StepLog steps{root(), clock};
};

} // namespace

TEST_CASE("log: a step's lines with their times, all steps' with their names", "[unit][commands]") {
    Shown shown;
    shown.steps.line("apt_packages", "Setting up git");
    shown.clock.advance(1s);
    shown.steps.line("python", "making a venv");
    CHECK(shown.log("python") == 0);
    CHECK(shown.out.str() == "2023-11-14T23:13:21Z making a venv\n");
    CHECK(shown.log("") == 0);
    CHECK(shown.out.str() == "2023-11-14T23:13:20Z apt_packages  Setting up git\n"
                             "2023-11-14T23:13:21Z python        making a venv\n");
}

TEST_CASE("log: a step without a log is answered with those that have one", "[unit][commands]") {
    Shown shown;
    CHECK(shown.log("python") == 64);
    CHECK_THAT(shown.err.str(), ContainsSubstring("no step has one yet"));
    shown.steps.line("apt_packages", "one");
    shown.steps.line("python", "one");
    CHECK(shown.log("pyhton") == 64);
    CHECK_THAT(shown.err.str(),
               ContainsSubstring("no step pyhton has a log; these have: apt_packages, python"));
    CHECK(shown.log("agent") == 64);
    CHECK_THAT(shown.err.str(), ContainsSubstring("`journalctl --unit agent`"));
    CHECK(shown.log("../../../etc/passwd") == 64);
    CHECK(shown.out.str().empty());
}

TEST_CASE("log: nothing yet is nothing to show", "[unit][commands]") {
    Shown shown;
    CHECK(shown.log("") == 0);
    CHECK(shown.out.str().empty());
}

TEST_CASE("log: following goes on with what comes until it is ended", "[unit][commands]") {
    Shown shown;
    shown.steps.line("python", "one");
    int looks = 0;
    const auto pause = [&] {
        shown.steps.line("python", "after look " + std::to_string(++looks));
        return looks < 3;
    };
    CHECK(log_command({"python", true}, shown.root(), pause, shown.out, shown.err) == 0);
    CHECK_THAT(shown.out.str(), ContainsSubstring(" one\n"));
    CHECK_THAT(shown.out.str(), ContainsSubstring(" after look 2\n"));
    CHECK_THAT(shown.out.str(), !ContainsSubstring("after look 3"));
}
