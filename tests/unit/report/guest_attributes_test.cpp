#include "agent/report/guest_attributes.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

using namespace agent;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

using Keys = std::vector<std::string>;

Status status_of(MachineState state, std::string summary) {
    Status status;
    status.state = state;
    status.summary = std::move(summary);
    status.boot_id = "boot";
    return status;
}

// Obeys the schedule against an invented clock and remembers what a reader could see when.
struct Machine {
    struct Written {
        Monotonic at;
        std::string key;
        std::string value;
    };

    GuestAttributeSchedule schedule;
    Monotonic now{1h};
    std::vector<Written> written;
    GuestWrite outcome = GuestWrite::written;

    void offer(MachineState state, std::string summary) {
        schedule.offer(status_of(state, std::move(summary)));
    }
    // One write if one is due now.
    bool write() {
        const auto put = schedule.next(now);
        if (!put)
            return false;
        written.push_back({now, put->key, put->value});
        schedule.done(*put, outcome, now);
        return true;
    }
    // Writes whatever is due until `end`, jumping from wake to wake.
    void run_until(Monotonic end) {
        while (now <= end) {
            if (write())
                continue;
            const auto wake = schedule.wake(now);
            if (!wake || *wake > end)
                break;
            REQUIRE(*wake > now);
            now = *wake;
        }
        now = std::max(now, end);
    }
    void run_for(std::chrono::milliseconds duration) { run_until(now + duration); }
    void forget() { written.clear(); }

    [[nodiscard]] Keys keys() const {
        Keys all;
        for (const auto& one : written)
            all.push_back(one.key);
        return all;
    }
    [[nodiscard]] std::string last(const std::string& key) const {
        std::string value;
        for (const auto& one : written)
            if (one.key == key)
                value = one.value;
        return value;
    }
    [[nodiscard]] std::size_t most_in_a_minute() const {
        std::size_t most = 0;
        for (const auto& first : written)
            most = std::max(most,
                            static_cast<std::size_t>(std::count_if(
                                written.begin(), written.end(), [&first](const Written& one) {
                                    return one.at >= first.at && one.at <= first.at + 60s;
                                })));
        return most;
    }
};

} // namespace

TEST_CASE("guest attributes: nothing offered is nothing to tell", "[unit][report]") {
    const Machine machine;
    CHECK_FALSE(machine.schedule.next(machine.now));
    CHECK_FALSE(machine.schedule.wake(machine.now));
}

TEST_CASE("guest attributes: the report comes first and the state last", "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::failed, "Failed");
    machine.run_for(10s);
    CHECK(machine.keys() == Keys{"report", "summary", "state"});
    CHECK_THAT(machine.last("report"), ContainsSubstring("\"state\":\"failed\""));
    CHECK(machine.last("summary") == "Failed");
    CHECK(machine.last("state") == "failed");
    CHECK_FALSE(machine.schedule.wake(machine.now));
}

TEST_CASE("guest attributes: a boot that is ready within a minute says so at once",
          "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::starting, "Starting");
    machine.run_for(2s);
    machine.offer(MachineState::provisioning, "0 of 9");
    for (int i = 1; i < 9; ++i) {
        machine.run_for(3s);
        machine.offer(MachineState::provisioning, std::to_string(i) + " of 9");
    }
    machine.forget();
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(2s);
    CHECK(machine.keys() == Keys{"report", "state"});
    machine.run_for(2min);
    CHECK(machine.last("summary") == "Ready");
    CHECK(machine.keys() == Keys{"report", "state", "summary"});
}

TEST_CASE("guest attributes: writes are spread below Google's burst", "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::starting, "Starting");
    machine.run_for(10s);
    for (std::size_t i = 1; i < machine.written.size(); ++i)
        CHECK(machine.written[i].at - machine.written[i - 1].at >= GuestAttributeSchedule::gap);
}

TEST_CASE("guest attributes: what has not changed is not told again", "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(10s);
    machine.forget();

    machine.offer(MachineState::ready, "Ready");
    machine.run_for(10min);
    CHECK(machine.keys().empty());

    machine.offer(MachineState::ready, "Ready, 2 idle");
    machine.run_for(10min);
    CHECK(machine.keys() == Keys{"report", "summary"});
}

TEST_CASE("guest attributes: of what was offered meanwhile only the newest is told",
          "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::provisioning, "1 of 9");
    machine.offer(MachineState::provisioning, "2 of 9");
    machine.offer(MachineState::provisioning, "3 of 9");
    machine.run_for(10min);
    CHECK(machine.keys() == Keys{"report", "state", "summary"});
    CHECK(machine.last("summary") == "3 of 9");
}

TEST_CASE("guest attributes: never more than six in any minute, however much changes",
          "[unit][report]") {
    Machine machine;
    const auto step = GENERATE(50ms, 700ms, 5000ms, 13000ms, 29000ms);
    const bool states_change = GENERATE(false, true);
    for (int i = 0; i < 400; ++i) {
        const bool odd = states_change && i % 2 == 1;
        machine.offer(odd ? MachineState::degraded : MachineState::provisioning,
                      "change " + std::to_string(i));
        machine.run_for(step);
    }
    CHECK(machine.most_in_a_minute() <= 6);

    machine.offer(MachineState::ready, "Ready");
    machine.run_for(2min);
    CHECK(machine.most_in_a_minute() <= 6);
    CHECK(machine.last("state") == "ready");
    CHECK(machine.last("summary") == "Ready");
    CHECK_THAT(machine.last("report"), ContainsSubstring("\"state\":\"ready\""));
}

TEST_CASE("guest attributes: progress leaves two writes for the next state", "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::provisioning, "begin");
    machine.run_for(5min);
    machine.forget();
    for (int i = 0; i < 50; ++i) {
        machine.offer(MachineState::provisioning, "step " + std::to_string(i));
        machine.run_for(100ms);
    }
    CHECK(machine.written.size() == 4);

    machine.forget();
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(2s);
    CHECK(machine.keys() == Keys{"report", "state"});
}

TEST_CASE("guest attributes: what was written before counts", "[unit][report]") {
    Machine machine;
    const Monotonic begin = machine.now;
    machine.schedule.count({begin - 50s, begin - 30s, begin - 30s, begin - 10s, begin - 10s});
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(9s);
    CHECK(machine.keys() == Keys{"report"});
    machine.run_for(2min);
    CHECK(machine.keys() == Keys{"report", "state", "summary"});
    CHECK(machine.written[1].at > begin + 10s);
}

TEST_CASE(
    "guest attributes: after another boot a quick one says starting and ready, in four writes",
    "[unit][report]") {
    Machine machine;
    const Monotonic boot = machine.now;
    machine.schedule.count({boot - 500ms, boot - 500ms});
    machine.offer(MachineState::starting, "Starting");
    machine.run_for(2s);
    CHECK(machine.keys() == Keys{"report", "state"});
    CHECK(machine.last("state") == "starting");
    machine.offer(MachineState::provisioning, "0 of 9");
    machine.run_for(3s);
    machine.offer(MachineState::provisioning, "8 of 9");
    machine.run_for(3s);
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(2s);
    CHECK(machine.keys() == Keys{"report", "state", "report", "state"});
    CHECK(machine.last("state") == "ready");
    machine.run_until(boot + 2min);
    CHECK(machine.last("summary") == "Ready");
}

TEST_CASE("guest attributes: after another boot a long one is heard of within the minute",
          "[unit][report]") {
    Machine machine;
    machine.schedule.count({machine.now - 500ms, machine.now - 500ms});
    machine.offer(MachineState::starting, "Starting");
    machine.run_for(2s);
    machine.offer(MachineState::provisioning, "0 of 9");
    machine.run_for(60s);
    CHECK(machine.last("state") == "provisioning");
}

TEST_CASE("guest attributes: provisioning leaves two writes for what it leads to",
          "[unit][report]") {
    Machine machine;
    machine.schedule.count({machine.now - 1s, machine.now - 1s, machine.now - 1s});
    machine.offer(MachineState::provisioning, "begin");
    machine.run_for(10s);
    CHECK(machine.keys() == Keys{"report"});
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(10s);
    CHECK(machine.keys() == Keys{"report", "report", "state"});
}

TEST_CASE("guest attributes: reports that keep changing do not hold back the state",
          "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::provisioning, "begin");
    machine.run_for(5min);
    machine.forget();
    for (int i = 0; i < 40; ++i) {
        machine.offer(MachineState::ready, "Ready, " + std::to_string(i));
        machine.run_for(100ms);
    }
    const Keys keys = machine.keys();
    REQUIRE(keys.size() >= 3);
    CHECK(Keys{keys.begin(), keys.begin() + 3} == Keys{"report", "summary", "state"});
}

TEST_CASE("guest attributes: a state that changes during a write gets a report of its own",
          "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::provisioning, "begin");
    machine.run_for(5min);
    machine.forget();

    machine.offer(MachineState::ready, "Ready");
    const auto underway = machine.schedule.next(machine.now);
    REQUIRE(underway);
    machine.offer(MachineState::failed, "Failed");
    machine.schedule.done(*underway, GuestWrite::written, machine.now);

    machine.run_for(10s);
    CHECK(machine.keys() == Keys{"report", "summary", "state"});
    CHECK_THAT(machine.last("report"), ContainsSubstring("\"state\":\"failed\""));
}

TEST_CASE("guest attributes: a state that came and went is not told", "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(5min);
    machine.forget();
    machine.offer(MachineState::degraded, "Degraded");
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(5min);
    CHECK(machine.keys().empty());
}

TEST_CASE("guest attributes: a refused access ends the trying until another state",
          "[unit][report]") {
    Machine machine;
    machine.outcome = GuestWrite::disabled;
    machine.offer(MachineState::provisioning, "begin");
    machine.run_for(10min);
    CHECK(machine.keys() == Keys{"report"});
    CHECK(machine.schedule.disabled());

    machine.offer(MachineState::provisioning, "more");
    machine.run_for(10min);
    CHECK(machine.written.size() == 1);

    machine.offer(MachineState::ready, "Ready");
    CHECK(machine.schedule.disabled());
    machine.run_for(10min);
    CHECK(machine.written.size() == 2);
    CHECK(machine.schedule.disabled());

    machine.forget();
    machine.outcome = GuestWrite::written;
    machine.offer(MachineState::degraded, "Degraded");
    machine.run_for(10min);
    CHECK(machine.keys() == Keys{"report", "summary", "state"});
    CHECK_FALSE(machine.schedule.disabled());
}

TEST_CASE("guest attributes: what is rejected is not said again, what follows is",
          "[unit][report]") {
    Machine machine;
    machine.outcome = GuestWrite::rejected;
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(10min);
    CHECK(machine.keys() == Keys{"report", "summary", "state"});
    CHECK_FALSE(machine.schedule.wake(machine.now));
}

TEST_CASE("guest attributes: a write that found nobody is tried again, ever more rarely",
          "[unit][report]") {
    Machine machine;
    machine.outcome = GuestWrite::later;
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(1h);
    CHECK(machine.most_in_a_minute() <= 6);
    REQUIRE(machine.written.size() > 10);
    const auto between = [&](std::size_t i) {
        return machine.written[i].at - machine.written[i - 1].at;
    };
    CHECK(between(1) == 2s);
    CHECK(between(2) == 4s);
    CHECK(between(3) == 8s);
    CHECK(between(machine.written.size() - 1) == 60s);

    machine.forget();
    machine.outcome = GuestWrite::written;
    machine.run_for(2min);
    CHECK(machine.keys() == Keys{"report", "summary", "state"});
}

TEST_CASE("guest attributes: another state does not wait for an earlier failure",
          "[unit][report]") {
    Machine machine;
    machine.outcome = GuestWrite::later;
    machine.offer(MachineState::provisioning, "begin");
    machine.run_for(30min);
    machine.forget();
    machine.outcome = GuestWrite::written;
    machine.offer(MachineState::ready, "Ready");
    machine.run_for(2s);
    CHECK(machine.keys() == Keys{"report", "summary", "state"});
}

TEST_CASE("guest attributes: the summary is one bounded line", "[unit][report]") {
    Machine machine;
    machine.offer(MachineState::failed, "two\nlines " + std::string(1000, 'x'));
    machine.run_for(10s);
    CHECK(machine.last("summary").size() < 300);
    CHECK(machine.last("summary").find('\n') == std::string::npos);
}
