#include "agent/ports/jupyter_identity.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/jupyter_unit.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Orders = std::vector<std::string>;

namespace {

constexpr const char* drop_in = "/etc/systemd/system/agent-jupyter.service.d/10-machine.conf";
constexpr const char* program = "/opt/jupyter/bin/jupyter-lab";

UnitState
unit_state(std::string active, std::string sub, std::string says = {}, std::string result = {}) {
    UnitState state;
    state.active = std::move(active);
    state.sub = std::move(sub);
    state.status_text = std::move(says);
    state.result = std::move(result);
    return state;
}

// A machine whose Jupyter comes up as it is told.
class Machine {
public:
    Machine() {
        auto& user = world.accounts.add("jupyter");
        user.gid = 1234;
        world.put(layout::jupyter_config, "{}\n");
        is_in("1234", "jupyter:x:1234:\n");
        world.services.on_order = [this](const std::string& order) {
            if (order == "restart agent-jupyter.service")
                unit() = unit_state("active", "running", serving());
            if (order == "daemon-reload")
                unit().needs_reload = false;
        };
    }
    [[nodiscard]] std::string serving() const {
        return jupyter_serving_status(
            jupyter_config_id(world.content(layout::jupyter_config), program));
    }
    // What `id --groups` and `getent group` say of the user.
    void is_in(const std::string& numbers, const std::string& named) {
        world.commands.when({"id", "--groups", "jupyter"}).exits(0, numbers + "\n");
        world.commands.when({"getent", "group"}).exits(0, named);
    }
    [[nodiscard]] std::string fitted() {
        REQUIRE(world.apply(step).has_value());
        return world.content(drop_in);
    }
    UnitState& unit() { return world.services.units[layout::jupyter_unit]; }
    [[nodiscard]] std::string why_due() {
        const auto checked = world.check(step).value();
        return checked.satisfied ? "" : checked.reason;
    }

    StepWorld world;
    JupyterUnit step{world.ports(), "jupyter", program};
};

} // namespace

TEST_CASE("jupyter_unit: the unit runs the program as the machine's user", "[unit][steps]") {
    Machine machine;
    CHECK(machine.why_due() == "the unit is not fitted to this machine");
    REQUIRE(machine.world.apply(machine.step).has_value());
    const std::string text = machine.world.content(drop_in);
    CHECK(text.starts_with("[Service]\n"));
    for (const std::string line :
         {"\nUser=jupyter\n",
          "\nGroup=1234\n",
          "\nExecStart=\nExecStart=/usr/local/bin/agent jupyter --program "
          "/opt/jupyter/bin/jupyter-lab --config /etc/agent/jupyter.json\n"})
        CHECK_THAT(text, ContainsSubstring(line));
    CHECK(machine.why_due().empty());
}

TEST_CASE("jupyter_unit: a user in powerful groups leaves them in the service", "[unit][steps]") {
    Machine machine;
    const std::string plain = machine.fitted();
    CHECK_THAT(plain, !ContainsSubstring("CAP_"));
    SECTION("those that need no leaving change nothing") {
        machine.is_in("1234 44 2000", "jupyter:x:1234:\nvideo:x:44:jupyter\nlab:x:2000:jupyter\n");
        CHECK(machine.why_due().empty());
    }
    SECTION("whoever was added to one gets another unit, and it back when he was taken out") {
        machine.is_in("1234 998", "jupyter:x:1234:\ndocker:x:998:jupyter\n");
        CHECK(machine.why_due() == "the unit is not fitted to this machine");
        const std::string leaving = machine.fitted();
        CHECK(leaving == plain +
                             "CapabilityBoundingSet=CAP_SETGID\nAmbientCapabilities=CAP_SETGID\n"
                             "SystemCallFilter=setgroups capset\n");
        CHECK(machine.why_due().empty());
        machine.is_in("1234", "jupyter:x:1234:\n");
        CHECK(machine.fitted() == plain);
    }
    SECTION("what cannot be asked is not taken for none") {
        machine.is_in("1234 998", "");
        machine.world.commands.when({"getent", "group"}).times_out();
        const auto checked = machine.world.check(machine.step);
        REQUIRE(checked.has_error());
        CHECK(checked.error().kind == ErrorKind::transient);
        machine.is_in("uid=1234", "");
        CHECK(machine.world.check(machine.step).has_error());
    }
}

TEST_CASE("jupyter_unit: notebooks leave some memory to the rest of the machine", "[unit][steps]") {
    struct Row {
        const char* total;
        const char* limit;
    };
    const auto [total, limit] = GENERATE(values<Row>({
        {"MemTotal:         995328 kB\nMemFree: 1 kB\n", "MemoryMax=704M\n"},
        {"MemTotal:         995200 kB\n", "MemoryMax=704M\n"}, // another kernel
        {"MemTotal:        4025000 kB\n", "MemoryMax=3648M\n"},
        {"MemTotal:       32880000 kB\n", "MemoryMax=30464M\n"},
        {"MemTotal:      528000000 kB\n", "MemoryMax=513536M\n"},
        {"MemTotal:         300000 kB\n", "MemoryMax=128M\n"},
    }));
    Machine machine;
    CHECK_THAT(machine.fitted(), !ContainsSubstring("MemoryMax"));
    machine.world.put("/proc/meminfo", "something else\n");
    CHECK(machine.why_due().empty());
    machine.world.put("/proc/meminfo", total);
    CHECK(machine.why_due() == "the unit is not fitted to this machine");
    CHECK_THAT(machine.fitted(), ContainsSubstring(limit));
}

TEST_CASE("jupyter_unit: sudo is allowed and kept out again as the configuration says",
          "[unit][steps]") {
    Machine machine;
    machine.is_in("1234 27", "jupyter:x:1234:\nsudo:x:27:jupyter\n");
    const std::string closed = machine.fitted();
    CHECK_THAT(closed, !ContainsSubstring("--keep-groups"));
    CHECK_THAT(closed, !ContainsSubstring("NoNewPrivileges"));

    JupyterUnit allowing{machine.world.ports(), "jupyter", program, {}, Sudo::allowed};
    CHECK(allowing.fingerprint() != machine.step.fingerprint());
    CHECK_FALSE(machine.world.check(allowing).value().satisfied);
    machine.world.services.orders.clear();
    REQUIRE(machine.world.apply(allowing).has_value());
    const std::string open = machine.world.content(drop_in);
    for (const std::string line : {" --keep-groups\n",
                                   "\nNoNewPrivileges=no\n",
                                   "\nProtectSystem=no\n",
                                   "\nSystemCallFilter=\n",
                                   "\nInaccessiblePaths=\n"})
        CHECK_THAT(open, ContainsSubstring(line));
    CHECK_THAT(open, !ContainsSubstring("AmbientCapabilities"));
    CHECK(machine.world.services.orders ==
          Orders{"daemon-reload", "restart agent-jupyter.service"});

    CHECK(machine.why_due() == "the unit is not fitted to this machine");
    CHECK(machine.fitted() == closed);
}

TEST_CASE("jupyter_unit: new definitions are read before they are started", "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.world.services.orders ==
          Orders{"daemon-reload", "restart agent-jupyter.service"});
}

TEST_CASE("jupyter_unit: running on this very configuration is all it takes", "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    SECTION("another configuration") {
        machine.world.put(layout::jupyter_config, "{\"changed\":true}\n");
        CHECK(machine.why_due() == "Jupyter runs on another configuration");
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.why_due().empty());
    }
    SECTION("another program") {
        JupyterUnit other{machine.world.ports(), "jupyter", "/opt/jupyter/bin/jupyter-notebook"};
        CHECK_FALSE(machine.world.check(other).value().satisfied);
    }
    SECTION("not running") {
        machine.unit().active = "failed";
        CHECK(machine.why_due() == "Jupyter is failed");
    }
    SECTION("definitions that systemd has not read") {
        machine.unit().needs_reload = true;
        CHECK(machine.why_due() == "systemd has not read the unit yet");
        machine.world.services.orders.clear();
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.world.services.orders.front() == "daemon-reload");
    }
}

TEST_CASE("jupyter_unit: what systemd brings up at boot is waited for, not started over",
          "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    machine.world.services.orders.clear();
    unsigned looks = 0;
    SECTION("and it comes up") {
        machine.unit() = unit_state("activating", "start", "starting");
        machine.world.services.on_state = [&](const std::string&) {
            if (++looks == 5)
                machine.unit() = unit_state("active", "running", machine.serving());
        };
        CHECK(machine.why_due().empty());
    }
    SECTION("but not for ever") {
        machine.unit() = unit_state("activating", "start", "starting");
        const auto begin = machine.world.clock.now();
        CHECK(machine.why_due() == "Jupyter is activating");
        CHECK(machine.world.clock.now() - begin <= std::chrono::seconds{161});
    }
    SECTION("nor when it only comes back from a failure") {
        machine.unit() = unit_state("activating", "auto-restart", "", "exit-code");
        CHECK(machine.why_due() == "Jupyter is activating");
        CHECK(machine.world.clock.slept.empty());
    }
    CHECK(machine.world.services.orders.empty());
}

TEST_CASE("jupyter_unit: what starts on an image's configuration is not waited for",
          "[unit][steps]") {
    Machine machine;
    const std::string old_id = jupyter_config_id("{\"the image's\": 1}\n", program);
    REQUIRE(machine.world.apply(machine.step).has_value());
    machine.unit() = unit_state("activating", "start", jupyter_starting_status(old_id));
    const auto before = machine.world.clock.now();
    CHECK(machine.why_due() == "Jupyter is being started on another configuration");
    CHECK(machine.world.clock.now() == before);

    // What it reads is known only once it says so; on the one in place it is waited for.
    machine.unit() = unit_state("activating", "start-pre");
    machine.world.services.on_state = [&machine, asked = 0](const std::string&) mutable {
        if (++asked == 2)
            machine.unit().status_text = jupyter_starting_status(
                jupyter_config_id(machine.world.content(layout::jupyter_config), program));
        if (asked == 3)
            machine.unit() = unit_state("active", "running", machine.serving());
    };
    CHECK(machine.why_due().empty());
}

TEST_CASE("jupyter_unit: systemd is asked rarely until Jupyter's socket is there",
          "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    const auto start = machine.world.clock.now();
    machine.world.services.asked = 0;
    machine.unit() = unit_state("activating", "start");
    machine.world.services.on_state = [&](const std::string&) {
        if (machine.world.clock.now() - start >= std::chrono::seconds{8})
            machine.unit() = unit_state("active", "running", machine.serving());
    };
    CHECK(machine.why_due().empty());
    CHECK(machine.world.services.asked <= 6);
}

TEST_CASE("jupyter_unit: Jupyter that keeps dying is given up with its last words",
          "[unit][steps]") {
    Machine machine;
    machine.world.services.on_order = [&](const std::string& order) {
        if (order == "restart agent-jupyter.service")
            machine.unit() = {
                "activating", "auto-restart", "no module named jupyterlab", "exit-code"};
    };
    SECTION("again and again") {
        machine.world.services.on_state = [&](const std::string&) { ++machine.unit().restarts; };
    }
    SECTION("for good") {
        machine.world.services.on_state = [&](const std::string&) {
            machine.unit().active = "failed";
        };
    }
    const auto applied = machine.world.apply(machine.step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::permanent);
    CHECK_THAT(applied.error().message, ContainsSubstring("exit-code"));
    CHECK_THAT(applied.error().message, ContainsSubstring("no module named jupyterlab"));
    CHECK_THAT(applied.error().next, ContainsSubstring("journalctl -u agent-jupyter"));
}

TEST_CASE("jupyter_unit: Jupyter that never answers is not waited for for ever", "[unit][steps]") {
    Machine machine;
    machine.world.services.on_order = [&](const std::string&) {
        machine.unit() = unit_state("activating", "start", "starting");
    };
    const auto begin = machine.world.clock.now();
    CHECK(machine.world.apply(machine.step).has_error());
    CHECK(machine.world.clock.now() - begin <= std::chrono::seconds{161});
}

TEST_CASE("jupyter_unit: what a notebook fetches knows the network, as systemd reads it",
          "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK_THAT(machine.world.content(drop_in), !ContainsSubstring("Environment="));
    JupyterUnit step{machine.world.ports(),
                     "jupyter",
                     program,
                     {{"http_proxy", "http://proxy.example.com:3128/a%20\"b\\c"},
                      {"no_proxy", "localhost,::1"}}};
    CHECK(machine.world.check(step).value().reason == "the unit is not fitted to this machine");
    REQUIRE(machine.world.apply(step).has_value());
    CHECK_THAT(machine.world.content(drop_in),
               ContainsSubstring("\nEnvironment=\"http_proxy=http://proxy.example.com:3128/a%%20"
                                 "\\\"b\\\\c\"\nEnvironment=\"no_proxy=localhost,::1\"\n"));
    CHECK(machine.world.check(step).value().satisfied);
}
