#include "agent/daemon.hpp"
#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/report/timeline.hpp"
#include "tests/fakes/fake_accounts.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/fakes/fake_control.hpp"
#include "tests/fakes/fake_front_control.hpp"
#include "tests/fakes/fake_metadata.hpp"
#include "tests/fakes/fake_notifier.hpp"
#include "tests/fakes/fake_privileges.hpp"
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

#include <algorithm>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Outcome = ControlAnswer::Outcome;
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

// A daemon on a machine where nothing is real but the files.
class Machine {
public:
    Machine() {
        for (const char* directory : {"run/agent", "etc/agent", "var/log"})
            std::filesystem::create_directories(root_.path() / directory);
        accounts.add("jupyter").uid = 1000;
        commands.when({"dpkg-query"}).exits(1);
        commands.when({"stat"}).exits(0, "1000 directory\n");
        commands.when({"update"}).exits(0);
    }
    void configure(const std::string& text) const {
        std::ofstream{root_.root() / layout::config_file} << "schema = 1\n" << text;
    }
    [[nodiscard]] Root root() const { return root_.root(); }
    // Runs the daemon and, beside it, what people do; then stops it.
    void live(boost::asio::awaitable<void> people) {
        auto both = [](Machine& machine,
                       boost::asio::awaitable<void> acts) -> boost::asio::awaitable<void> {
            co_await std::move(acts);
            machine.stop_.request_stop();
        };
        boost::asio::co_spawn(io, both(*this, std::move(people)), [](const auto& failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
        run_coroutine(io, daemon.run());
    }
    boost::asio::awaitable<void> until(std::function<bool()> condition) {
        boost::asio::steady_timer timer{io};
        while (!condition()) {
            timer.expires_after(std::chrono::milliseconds{1});
            co_await timer.async_wait(boost::asio::use_awaitable);
        }
    }
    [[nodiscard]] long said(const std::string& beginning) const {
        return std::count_if(
            notifier.words.begin(), notifier.words.end(), [&](const std::string& word) {
                return word.starts_with("STATUS=" + beginning);
            });
    }
    // As its file says it.
    [[nodiscard]] Status status() const {
        return status_from(
                   parse_json(read_file(root() / layout::status_file).value().value()).value())
            .value();
    }
    boost::asio::awaitable<ControlAnswer> retry(std::string step = {}) {
        return control.ask({0, 1}, {ControlRequest::Verb::retry, std::move(step), {}});
    }
    boost::asio::awaitable<ControlAnswer> hold(std::chrono::seconds duration) {
        return control.ask({0, 1}, {ControlRequest::Verb::hold, {}, duration});
    }

    boost::asio::io_context io;

private:
    std::stop_source stop_;
    TempRoot root_{TempRoot::in_memory()};

public:
    FakeClock clock{FakeClock::Advance::by_sleeping, stop_.get_token()};
    FakeCommands commands;
    FakeAccounts accounts;
    FakeServices services;
    FakeFrontControl front_control;
    FakeMetadata metadata{stop_.get_token()};
    FakeMetadata last_metadata;
    FakeClock last_clock;
    FakeNotifier notifier;
    FakePrivileges privileges;
    FakeTerminals terminals;
    FakeControlServer control{stop_.get_token()};
    Daemon daemon{{io,
                   root_.root(),
                   commands,
                   accounts,
                   services,
                   front_control,
                   clock,
                   metadata,
                   notifier,
                   privileges,
                   terminals,
                   control,
                   last_metadata,
                   last_clock,
                   stop_.get_token(),
                   [this] { stop_.request_stop(); }}};
};

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

TEST_CASE("daemon: the summary says that the machine is going to stop", "[unit][daemon]") {
    const std::string stop = "powers off at 12:10 UTC unless held";
    Status status;
    status.state = MachineState::ready;
    status.url = "https://203.0.113.7:8888/";
    CHECK(summarise(status, stop) ==
          "ready at https://203.0.113.7:8888/; powers off at 12:10 UTC unless held");
    status.state = MachineState::failed;
    status.problem = Problem{"python_packages", "permanent", "no solution found", "correct it"};
    CHECK(summarise(status, stop) == "failed (powers off at 12:10 UTC unless held): "
                                     "python_packages: no solution found");
}

TEST_CASE("daemon: a retry says what will run", "[unit][daemon]") {
    Status status;
    const std::vector<std::string> steps{"apt_packages", "python", "ready"};
    const auto answer = [&](const std::string& step, Activity activity = Activity::settled) {
        return answer_to_retry(status, steps, step, activity);
    };
    status.steps = {shown("apt_packages", "satisfied"), shown("python", "applied")};
    CHECK_THAT(answer("").message, ContainsSubstring("nothing has failed"));
    CHECK(answer("python").message == "python runs again now");
    status.steps = {
        shown("apt_packages", "failed"), shown("python", "blocked"), shown("ready", "blocked")};
    CHECK(answer("").message ==
          "run again now: apt_packages, and what that blocked: python, ready");
    CHECK(answer("").outcome == Outcome::accepted);
    status.steps = {shown("apt_packages", "running"), shown("python", "pending")};
    CHECK(answer("python", Activity::converging).message ==
          "running now: apt_packages; the retry of python follows");
}

TEST_CASE("daemon: a step that is not there is answered with those that are", "[unit][daemon]") {
    const auto answer = answer_to_retry({},
                                        {"apt_packages", "python"},
                                        "pyhton",
                                        GENERATE(Activity::settled, Activity::converging));
    CHECK(answer.outcome == Outcome::invalid);
    CHECK(answer.message == "there is no step pyhton here; did you mean python?; the steps are "
                            "apt_packages, python");
}

TEST_CASE("daemon: a retry runs what failed again, on the configuration of now", "[unit][daemon]") {
    Machine machine;
    machine.configure("[apt]\npackages = [\"no-such-package\"]\n[python]\nkind = \"none\"\n");
    machine.commands.when({"install"})
        .exits(100, "", "E: Unable to locate package no-such-package\n");
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        std::function<bool()> condition = [&vm] { return vm.said("failed: apt_packages") == 1; };
        co_await vm.until(condition);
        auto answer = co_await vm.retry();
        CHECK(answer.message == "run again now: apt_packages");
        condition = [&vm] { return vm.said("failed: apt_packages") == 2; };
        co_await vm.until(condition);
        CHECK(vm.commands.all_with("install").size() == 2);

        vm.configure("[python]\nkind = \"nine\"\n");
        answer = co_await vm.retry();
        CHECK(answer.outcome == Outcome::failed);
        CHECK_THAT(answer.message, ContainsSubstring("agent.toml:3:8"));

        vm.configure("[python]\nkind = \"none\"\n");
        answer = co_await vm.retry("apt_packages");
        CHECK(answer.message == "apt_packages runs again now");
        condition = [&vm] { return vm.said("ready") == 1; };
        co_await vm.until(condition);
        answer = co_await vm.retry();
        CHECK_THAT(answer.message, ContainsSubstring("nothing has failed"));
    };
    machine.live(people(machine));
    CHECK(machine.commands.all_with("install").size() == 2);
}

TEST_CASE("daemon: what anybody may know lies beside the status", "[unit][daemon]") {
    Machine machine;
    machine.configure("[python]\nkind = \"none\"\n[jupyter]\nport = 443\n"
                      "[network]\nproxy = \"http://proxy.example.com:3128\"\n");
    std::filesystem::create_directories(machine.root() / "/dev");
    std::ofstream{machine.root() / layout::console};
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        std::function<bool()> condition = [&vm] { return vm.said("ready") == 1; };
        co_await vm.until(condition);
    };
    machine.live(people(machine));
    const auto card = read_machine_card(machine.root());
    REQUIRE(card);
    CHECK(card->port == 443);
    CHECK(card->reach == Reach::this_machine);
    CHECK(card->landing == "lab");
    CHECK(card->variables.at("https_proxy") == "http://proxy.example.com:3128");
    const auto certificate = read_file(machine.root() / layout::public_certificate);
    REQUIRE((certificate.has_value() && certificate->has_value()));
    CHECK_THAT(**certificate, ContainsSubstring("BEGIN CERTIFICATE"));
    CHECK_THAT(**certificate, !ContainsSubstring("KEY"));
    const auto console = read_file(machine.root() / layout::console);
    CHECK_THAT(console->value_or(""), ContainsSubstring("agent: tls_certificate: applied in "));
    CHECK_THAT(console->value_or(""), ContainsSubstring("\nagent: ready"));
}

TEST_CASE("daemon: its timeline has the run, each step that needed another, and how they ended",
          "[unit][daemon]") {
    Machine machine;
    machine.configure("[apt]\npackages = [\"git\"]\n[python]\nkind = \"none\"\n");
    machine.commands.when({"update"}).exits(100, "", "E: Temporary failure resolving 'x'\n");
    machine.live(machine.until([&] { return machine.said("failed") > 0; }));
    const auto timeline = make_timeline(read_timeline(machine.root()).value());
    REQUIRE(timeline);
    const auto apt =
        std::find_if(timeline->rows.begin(), timeline->rows.end(), [](const Timeline::Row& row) {
            return row.id == "apt_packages";
        });
    REQUIRE(apt != timeline->rows.end());
    CHECK(apt->needs == std::vector<std::string>{"disk_space", "apt_repositories"});
    CHECK(apt->after == "apt_repositories");
    CHECK(apt->state == "failed");
    CHECK(apt->retries == 11);
    CHECK(apt->critical);
    CHECK_FALSE(timeline->everything);
}

TEST_CASE("daemon: a preempted VM says so, and what that interrupted", "[unit][daemon]") {
    Machine machine;
    machine.configure("[apt]\npackages = [\"git\"]\n[python]\nkind = \"none\"\n");
    machine.commands.when({"update"})
        .exits(100, "", "E: Temporary failure resolving 'deb.debian.org'\n")
        .does([&](const Command&) { machine.metadata.set_preempted(); });
    run_coroutine(machine.io, machine.daemon.run());
    CHECK(machine.said("stopping; GCE preempts this VM; interrupted:apt_packages") == 1);
    const std::string report = machine.last_metadata.told("report");
    CHECK_THAT(report, ContainsSubstring(R"("state":"stopping")"));
    CHECK_THAT(report, ContainsSubstring("interrupted:apt_packages"));
    CHECK_THAT(report, ContainsSubstring("the next boot goes on where this one was"));
}

TEST_CASE("daemon: a stop of a machine that makes nothing interrupts nothing", "[unit][daemon]") {
    Machine machine;
    machine.configure("[python]\nkind = \"none\"\n");
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        std::function<bool()> condition = [&vm] { return vm.said("ready") == 1; };
        co_await vm.until(condition);
    };
    machine.live(people(machine));
    CHECK(machine.notifier.words.back() == "STATUS=stopping");
}

TEST_CASE("daemon: what failed of something passing is said to be tried again, and when",
          "[unit][daemon]") {
    Machine machine;
    machine.configure("[apt]\npackages = [\"git\"]\n[python]\nkind = \"none\"\n");
    machine.commands.when({"update"})
        .exits(100, "", "E: Temporary failure resolving 'deb.debian.org'\n");
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        std::function<bool()> condition = [&vm] { return vm.said("failed: apt_packages") == 1; };
        co_await vm.until(condition);
    };
    machine.live(people(machine));
    const auto status = read_file(machine.root() / layout::status_file);
    CHECK_THAT(status->value_or(""), ContainsSubstring("; it is tried again by itself at 20"));
}

TEST_CASE("daemon: a failed machine that is going to stop says so wherever it says anything",
          "[unit][daemon]") {
    Machine machine;
    // Also a configuration that is not valid counts as far as it can be read.
    const auto [config, problem] =
        GENERATE(std::pair{"[apt]\npackages = [\"no-such-package\"]\n[python]\nkind = \"none\"\n",
                           "apt knows no package no-such-package"},
                 std::pair{"[python]\nkind = \"nine\"\n", "`python.kind`"});
    machine.configure(config + std::string{"[limits]\non_failure = \"stop\"\ngrace = \"30m\"\n"});
    machine.commands.when({"install"})
        .exits(100, "", "E: Unable to locate package no-such-package\n");
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        std::function<bool()> condition = [&vm] { return vm.said("failed (powers off at ") == 1; };
        co_await vm.until(condition);
        const auto status = vm.status();
        CHECK_THAT(status.problem->next, ContainsSubstring("it powers off at "));
        CHECK_THAT(status.problem->next, ContainsSubstring(" unless held: `agent hold 2h`; "));
        CHECK(vm.terminals.told.size() == 1);

        auto answer = co_await vm.hold(2h);
        CHECK(answer.outcome == Outcome::accepted);
        condition = [&vm] {
            return vm.status().problem->next.find(" unless held longer: ") != std::string::npos;
        };
        co_await vm.until(condition);

        vm.configure("[python]\nkind = \"none\"\n");
        vm.daemon.reload();
        condition = [&vm] { return vm.said("ready; no Jupyter") == 1; };
        co_await vm.until(condition);
    };
    machine.live(people(machine));
    CHECK(machine.said(std::string{"failed ("}) >= 1);
    CHECK_THAT(machine.terminals.told.front(), ContainsSubstring(problem));
    CHECK(machine.services.orders.end() ==
          std::find(machine.services.orders.begin(), machine.services.orders.end(), "poweroff"));
}

TEST_CASE("daemon: a member of an instance group says that it stays up", "[unit][daemon]") {
    Machine machine;
    machine.metadata.facts->instance_attributes = {
        {"created-by", "projects/1/zones/z/instanceGroupManagers/workers"},
        {"agent-config", "schema = 1\n[python]\nkind = 9\n[limits]\non_failure = \"stop\"\n"}};
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        const std::function<bool()> condition = [&vm] {
            return vm.said("failed (stays up, for instance group workers would replace it)") == 1;
        };
        co_await vm.until(condition);
        const auto status = vm.status();
        CHECK_THAT(status.problem->next,
                   ContainsSubstring("it does not power off although its setup has failed"));
    };
    machine.live(people(machine));
    CHECK(machine.terminals.told.empty());
}

TEST_CASE("daemon: a setup that has had its time has failed for good", "[unit][daemon]") {
    Machine machine;
    machine.configure("[apt]\npackages = [\"git\"]\n[python]\nkind = \"none\"\n"
                      "[limits]\nsetup = \"1m\"\non_failure = \"stop\"\n");
    machine.commands.when({"update"})
        .exits(100, "", "E: Temporary failure resolving 'deb.debian.org'\n")
        .does([&](const Command&) { machine.clock.advance(61s); });
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        const std::function<bool()> condition = [&vm] {
            return vm.said("failed (powers off at ") == 1;
        };
        co_await vm.until(condition);
        const auto status = vm.status();
        CHECK(status.problem->step == "apt_packages");
        CHECK_THAT(status.problem->message,
                   ContainsSubstring("the setup was not done within its limit of 60 s"));
        CHECK_THAT(status.problem->next, !ContainsSubstring("tried again by itself"));
        CHECK(vm.commands.all_with("update").size() == 1);
    };
    machine.live(people(machine));
}

TEST_CASE("daemon: what is tried again by itself stops no machine", "[unit][daemon]") {
    Machine machine;
    machine.configure("[apt]\npackages = [\"git\"]\n[python]\nkind = \"none\"\n"
                      "[limits]\non_failure = \"stop\"\n");
    machine.commands.when({"update"})
        .exits(100, "", "E: Temporary failure resolving 'deb.debian.org'\n");
    const auto people = [](Machine& vm) -> boost::asio::awaitable<void> {
        const std::function<bool()> condition = [&vm] {
            return vm.said("failed: apt_packages") == 1;
        };
        co_await vm.until(condition);
    };
    machine.live(people(machine));
    CHECK(machine.said("failed (") == 0);
    CHECK(machine.terminals.told.empty());
}
