#include "agent/daemon.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr auto required = Importance::required;
constexpr auto optional = Importance::optional;

StepProgress step(StepState state, Importance importance = required) {
    StepProgress progress;
    progress.id = "step";
    progress.state = state;
    progress.importance = importance;
    return progress;
}

StepStatus shown(std::string id, std::string state, std::string reason = {}) {
    StepStatus status;
    status.id = std::move(id);
    status.state = std::move(state);
    status.reason = std::move(reason);
    return status;
}

} // namespace

TEST_CASE("daemon: the machine's state is what its steps make of it", "[unit][daemon]") {
    using enum StepState;
    struct Row {
        std::vector<StepProgress> steps;
        MachineState state;
    };
    const auto row =
        GENERATE(Row{{}, MachineState::ready},
                 Row{{step(satisfied), step(applied), step(skipped)}, MachineState::ready},
                 Row{{step(applied), step(failed)}, MachineState::failed},
                 Row{{step(blocked), step(applied)}, MachineState::failed},
                 Row{{step(applied), step(failed, optional)}, MachineState::degraded},
                 Row{{step(applied), step(blocked, optional)}, MachineState::degraded},
                 Row{{step(failed, optional), step(failed)}, MachineState::failed},
                 Row{{step(failed), step(failed, optional)}, MachineState::failed},
                 Row{{step(applied), step(pending)}, MachineState::provisioning},
                 Row{{step(applied), step(running)}, MachineState::provisioning},
                 Row{{step(applied), step(waiting)}, MachineState::provisioning},
                 Row{{step(applied), step(running, optional)}, MachineState::provisioning},
                 Row{{step(failed), step(running)}, MachineState::provisioning},
                 Row{{step(running), step(failed)}, MachineState::provisioning});
    CHECK(overall_state(row.steps) == row.state);
}

TEST_CASE("daemon: the summary says where Jupyter is", "[unit][daemon]") {
    Status status;
    status.state = MachineState::ready;
    status.url = "https://203.0.113.7:8888/";
    CHECK(summarise(status) == "ready at https://203.0.113.7:8888/");
}

TEST_CASE("daemon: the summary says what is wrong, and with which step", "[unit][daemon]") {
    Status status;
    status.state = MachineState::failed;
    status.problem = Problem{"python_packages", "permanent", "no solution found", "correct it"};
    CHECK(summarise(status) == "failed: python_packages: no solution found");
    status.state = MachineState::degraded;
    status.problem->step = "";
    CHECK(summarise(status) == "degraded: no solution found");
}

TEST_CASE("daemon: the summary says how far it is and what it is doing", "[unit][daemon]") {
    Status status;
    status.state = MachineState::provisioning;
    status.steps = {shown("service_user", "satisfied"),
                    shown("apt_packages", "applied"),
                    shown("python", "running"),
                    shown("tls_certificate", "running", "making a key"),
                    shown("ready", "pending")};
    CHECK(summarise(status) ==
          "provisioning: 2 of 5 steps done; python, tls_certificate (making a key)");
}

TEST_CASE("daemon: a state without more to say is said as one word", "[unit][daemon]") {
    const auto [state, word] = GENERATE(std::pair{MachineState::stopping, std::string{"stopping"}},
                                        std::pair{MachineState::failed, std::string{"failed"}});
    Status status;
    status.state = state;
    CHECK(summarise(status) == word);
}

TEST_CASE("daemon: a start says what it waits for", "[unit][daemon]") {
    Status status;
    status.state = MachineState::starting;
    CHECK(summarise(status) == "starting: asking the metadata server what this VM is to be");
    status.problem = Problem{"", "transient", "169.254.169.254:80 did not answer", ""};
    CHECK(summarise(status) == "starting: 169.254.169.254:80 did not answer");
}

TEST_CASE("daemon: the summary is one bounded line, whatever a step says", "[unit][daemon]") {
    Status status;
    status.state = MachineState::failed;
    status.problem =
        Problem{"python", "permanent", "two\nlines\x1b[31m" + std::string(5000, 'x'), ""};
    const std::string summary = summarise(status);
    CHECK(summary.size() <= 303);
    CHECK(summary.find('\n') == std::string::npos);
    CHECK(summary.find('\x1b') == std::string::npos);
    CHECK_THAT(summary, ContainsSubstring("two lines?[31m"));
}
