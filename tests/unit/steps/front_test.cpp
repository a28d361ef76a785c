#include "agent/ports/layout.hpp"
#include "agent/steps/front.hpp"
#include "agent/steps/jupyter_token.hpp"
#include "agent/steps/tls_certificate.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

#include <unistd.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Orders = std::vector<std::string>;

namespace {

constexpr const char* socket_drop_in = "/etc/systemd/system/agent-front.socket.d/10-machine.conf";
constexpr const char* service_drop_in = "/etc/systemd/system/agent-front.service.d/10-machine.conf";

UnitState
unit_state(std::string active, std::string sub, std::string says = {}, std::string result = {}) {
    UnitState state;
    state.active = std::move(active);
    state.sub = std::move(sub);
    state.status_text = std::move(says);
    state.result = std::move(result);
    return state;
}

// A machine whose systemd does as it is told.
class Machine {
public:
    explicit Machine(Reach reach = Reach::everywhere, std::uint16_t port = 8888)
        : step{world.ports(), "jupyter", port, reach} {
        world.accounts.add("jupyter");
        world.commands.when({"ss"}).exits(0);
        TlsCertificate certificate{world.ports(), "vm", {"localhost"}};
        REQUIRE(world.apply(certificate).has_value());
        world.services.on_order = [this](const std::string& order) {
            if (order == "restart agent-front.socket")
                world.services.units[layout::front_socket_unit] = unit_state("active", "listening");
            if (order == "stop agent-front.service")
                world.services.units[layout::front_unit] = unit_state("inactive", "dead");
            if (order == "restart agent-front.service")
                world.services.units[layout::front_unit] =
                    unit_state("active", "running", status());
            if (order == "daemon-reload")
                for (auto& [name, unit] : world.services.units)
                    unit.needs_reload = false;
        };
    }
    [[nodiscard]] std::string status() const {
        return front_identity_status(current_certificate_sha256(world.root()),
                                     current_token(world.root()).value_or(Secret{})) +
               " 3 sessions";
    }
    [[nodiscard]] std::string why_due() {
        const auto checked = world.check(step).value();
        return checked.satisfied ? "" : checked.reason;
    }

    StepWorld world;
    Front step;
};

} // namespace

TEST_CASE("front: the port is held everywhere only when there is a password", "[unit][steps]") {
    struct Row {
        Reach reach;
        std::uint16_t port;
        std::string drop_in;
    };
    const auto row = GENERATE(
        Row{Reach::everywhere, 8888, "[Socket]\nListenStream=\nListenStream=8888\n"},
        Row{Reach::everywhere, 443, "[Socket]\nListenStream=\nListenStream=443\n"},
        Row{Reach::this_machine, 8888, "[Socket]\nListenStream=\nListenStream=127.0.0.1:8888\n"});
    Machine machine{row.reach, row.port};
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.world.content(socket_drop_in) == row.drop_in);
}

TEST_CASE("front: it is told whose process Jupyter must be", "[unit][steps]") {
    Machine machine;
    machine.world.accounts.users["jupyter"].uid = 1234;
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK_THAT(machine.world.content(service_drop_in),
               ContainsSubstring("Environment=AGENT_BACKEND_OWNER=1234\n"));
}

TEST_CASE("front: fitted, held and serving our certificate is all it takes", "[unit][steps]") {
    Machine machine;
    CHECK(machine.why_due() == "the units are not fitted to this machine");
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.why_due().empty());
    auto& units = machine.world.services.units;
    SECTION("the socket is gone") {
        units[layout::front_socket_unit].active = "failed";
        CHECK(machine.why_due() == "port 8888 is not held");
    }
    SECTION("the service is down") {
        units[layout::front_unit].active = "activating";
        CHECK(machine.why_due() == "the front is activating");
    }
    SECTION("the service is not running yet: the first connection starts it") {
        units[layout::front_unit] = unit_state("inactive", "dead");
        CHECK(machine.why_due().empty());
    }
    SECTION("a connection is just starting it") {
        units[layout::front_unit] = unit_state("activating", "start");
        machine.world.services.on_state = [&, looks = 0](const std::string&) mutable {
            if (++looks == 5)
                units[layout::front_unit] = unit_state("active", "running", machine.status());
        };
        CHECK(machine.why_due().empty());
    }
    SECTION("systemd knows older units") {
        units[layout::front_socket_unit].needs_reload = true;
        CHECK(machine.why_due() == "systemd has not read the units yet");
    }
    SECTION("another certificate is served") {
        units[layout::front_unit].status_text = "certificate 000000000000";
        CHECK(machine.why_due() == "the front has another certificate or token");
    }
    SECTION("another token is proved with") {
        machine.world.put(layout::front_token, std::string(64, 'a'));
        CHECK(machine.why_due() == "the front has another certificate or token");
    }
    SECTION("somebody changed the drop-in") {
        machine.world.put(socket_drop_in, "[Socket]\nListenStream=0.0.0.0:8888\n");
        CHECK(machine.why_due() == "the units are not fitted to this machine");
    }
}

TEST_CASE("front: a held port is let go only when another one is asked for", "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.world.services.orders == Orders{"daemon-reload",
                                                  "stop agent-front.service",
                                                  "restart agent-front.socket",
                                                  "restart agent-front.service"});
    machine.world.services.orders.clear();
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.world.services.orders == Orders{"daemon-reload", "restart agent-front.service"});

    machine.world.services.orders.clear();
    Front other{machine.world.ports(), "jupyter", 8889, Reach::everywhere};
    REQUIRE(machine.world.apply(other).has_value());
    CHECK(machine.world.services.orders.at(2) == "restart agent-front.socket");
}

TEST_CASE("front: the one that runs is handed a new certificate, and nothing is restarted",
          "[unit][steps]") {
    Machine machine;
    const std::string token(64, 'a');
    machine.world.put(layout::front_token, token);
    REQUIRE(machine.world.apply(machine.step).has_value());
    TlsCertificate certificate{machine.world.ports(), "vm", {"new.example.com"}};
    REQUIRE(machine.world.apply(certificate).has_value());
    CHECK(machine.why_due() == "the front has another certificate or token");
    machine.world.services.orders.clear();
    auto& front = machine.world.front_control;

    SECTION("it serves it") {
        front.answers = [&](const FrontIdentity&) {
            machine.world.services.units[layout::front_unit].status_text = machine.status();
            return current_certificate_sha256(machine.world.root());
        };
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.world.services.orders.empty());
        REQUIRE(front.handed.size() == 1);
        CHECK(front.handed[0].certificate.reveal() == machine.world.content(layout::certificate));
        CHECK(front.handed[0].token.reveal() == token);
    }
    SECTION("it is of an earlier version and does not say so: it is restarted") {
        front.answers = [&](const FrontIdentity&) {
            return current_certificate_sha256(machine.world.root());
        };
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.world.services.orders ==
              Orders{"daemon-reload", "restart agent-front.service"});
    }
    SECTION("it refuses: it goes on as it is, and says why") {
        front.answers = [](const FrontIdentity&) { return misconfigured("it is no PEM"); };
        const auto applied = machine.world.apply(machine.step);
        REQUIRE(applied.has_error());
        CHECK_THAT(applied.error().message, ContainsSubstring("it is no PEM"));
        CHECK(machine.world.services.orders.empty());
    }
    SECTION("nobody listens: it is restarted") {
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(machine.world.services.orders ==
              Orders{"daemon-reload", "restart agent-front.service"});
    }
    SECTION("it does not run: it is started") {
        machine.world.services.units[layout::front_unit] = unit_state("failed", "failed");
        REQUIRE(machine.world.apply(machine.step).has_value());
        CHECK(front.handed.empty());
        CHECK(machine.why_due().empty());
    }
}

TEST_CASE("front: one that does not come up is told with what to look at", "[unit][steps]") {
    Machine machine;
    machine.world.services.on_order = nullptr;
    machine.world.services.units[layout::front_unit] =
        unit_state("failed", "failed", "", "exit-code");
    const auto begin = machine.world.clock.now();
    const auto applied = machine.world.apply(machine.step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::transient);
    CHECK_THAT(applied.error().message, ContainsSubstring("port 8888"));
    CHECK_THAT(applied.error().message, ContainsSubstring("failed (exit-code)"));
    CHECK_THAT(applied.error().next, ContainsSubstring("journalctl"));
    CHECK(machine.world.clock.now() - begin <= std::chrono::seconds{21});
}

TEST_CASE("front: systemd that cannot be asked or ordered is an Error", "[unit][steps]") {
    Machine machine;
    machine.world.services.refusal = transient("systemctl did not end");
    CHECK(machine.world.apply(machine.step).error().message == "systemctl did not end");
}

TEST_CASE("front: a port that another program holds is told with its name, and nothing is touched",
          "[unit][steps]") {
    Machine machine;
    REQUIRE(machine.world.apply(machine.step).has_value());
    machine.world.services.orders.clear();
    const std::string before = machine.world.content(socket_drop_in);
    machine.world.commands.when({"ss", "sport = :8889"})
        .exits(0, "LISTEN 0 5 0.0.0.0:8889 0.0.0.0:* users:((\"python3\",pid=812,fd=3))\n")
        .exits(0);
    Front other{machine.world.ports(), "jupyter", 8889, Reach::everywhere};
    const auto applied = machine.world.apply(other);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::transient);
    CHECK(applied.error().message == "port 8889 is taken by python3 (process 812)");
    CHECK_THAT(applied.error().next, ContainsSubstring("[jupyter] port"));
    CHECK(machine.world.services.orders.empty());
    CHECK(machine.world.content(socket_drop_in) == before);
    // It was freed.
    CHECK(machine.world.apply(other).has_value());
}

TEST_CASE("front: who is in the way on a port", "[unit][steps]") {
    struct Row {
        std::string said;
        std::string everywhere;
        std::string this_machine;
    };
    const auto row = GENERATE(
        Row{"", "", ""},
        Row{"LISTEN 0 511 *:8888 *:* users:((\"node\",pid=7,fd=19),(\"node\",pid=9,fd=19))\n",
            "node (process 7)",
            "node (process 7)"},
        Row{"LISTEN 0 5 127.0.0.1:8888 0.0.0.0:* users:((\"my prog\",pid=7,fd=1))\n",
            "my prog (process 7)",
            "my prog (process 7)"},
        Row{"LISTEN 0 5 10.0.0.2:8888 0.0.0.0:* users:((\"nginx\",pid=7,fd=1))\n",
            "nginx (process 7)",
            ""},
        Row{"LISTEN 0 256 [::]:8888 [::]:* users:((\"systemd\",pid=1,fd=40))\n", "", ""},
        Row{"LISTEN 0 256 [::]:8888 [::]:* users:((\"agent\",pid=99,fd=3),"
            "(\"systemd\",pid=1,fd=40))\n",
            "",
            ""},
        Row{"LISTEN 0 5 0.0.0.0:8888 0.0.0.0:*\n",
            "a program that is no process here",
            "a program that is no process here"});
    CHECK(other_listener(row.said, Reach::everywhere) == row.everywhere);
    CHECK(other_listener(row.said, Reach::this_machine) == row.this_machine);
}
