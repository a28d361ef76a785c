#include "agent/commands/url.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/report/status_file.hpp"
#include "tests/support/lock_holder.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* boot = "6f2a3c1e-8a51-4f5d-9c53-0d8f3b1b2c4d";
constexpr const char* token = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Said {
    int exit = 0;
    std::string out;
    std::string errors;
};

class Machine {
public:
    explicit Machine(const Status& status) {
        for (const char* path : {"/run/agent", "/etc/agent", "/proc/sys/kernel/random"})
            std::filesystem::create_directories(root() / path);
        std::ofstream{root() / "/proc/sys/kernel/random/boot_id"} << boot << '\n';
        StatusFile file{root()};
        REQUIRE(file.write(status).has_value());
    }
    void lands_on(const std::string& page) const {
        MachineCard card;
        card.landing = page;
        REQUIRE(write_machine_card(root(), card).has_value());
    }
    // As whoever may read it sees it.
    void has_config(const std::string& section) const {
        std::ofstream{root() / layout::jupyter_config}
            << "{\"" + section + "\": {\"token\": \"" + token + "\"}}";
    }
    [[nodiscard]] Said url(Output output) const {
        std::ostringstream out;
        std::ostringstream errors;
        const int exit = url_command(root(), output, out, errors);
        return {exit, out.str(), errors.str()};
    }
    [[nodiscard]] Root root() const { return directory_.root(); }
    [[nodiscard]] std::filesystem::path lock() const { return root() / layout::lock_file; }

private:
    TempRoot directory_;
};

Status open_status() {
    Status status;
    status.state = MachineState::ready;
    status.boot_id = boot;
    status.url = "https://203.0.113.7:8888/";
    status.summary = "ready at " + status.url;
    return status;
}

} // namespace

TEST_CASE("url: a pipe gets the address and never the token", "[unit][commands]") {
    const Machine machine{open_status()};
    machine.has_config("IdentityProvider");
    const LockHolder daemon{machine.lock()};
    const Said said = machine.url(Output::elsewhere);
    CHECK(said.exit == 0);
    CHECK(said.out == "https://203.0.113.7:8888/\n");
    CHECK(said.errors.empty());
}

TEST_CASE("url: on a terminal, who may read Jupyter's configuration gets the login link",
          "[unit][commands]") {
    const Machine machine{open_status()};
    const std::string page = GENERATE("lab", "tree");
    machine.lands_on(page);
    machine.has_config(GENERATE("IdentityProvider", "NotebookApp"));
    const LockHolder daemon{machine.lock()};
    const Said said = machine.url(Output::terminal);
    CHECK(said.exit == 0);
    CHECK(said.out ==
          "https://203.0.113.7:8888/\nhttps://203.0.113.7:8888/" + page + "?token=" + token + "\n");
}

TEST_CASE("url: on a terminal, who may not read it gets the address", "[unit][commands]") {
    const Machine machine{open_status()};
    const LockHolder daemon{machine.lock()};
    const Said said = machine.url(Output::terminal);
    CHECK(said.exit == 0);
    CHECK(said.out == "https://203.0.113.7:8888/\n");
}

TEST_CASE("url: while Jupyter is not open there is one sentence and exit 1", "[unit][commands]") {
    Status status = open_status();
    std::string expected;
    SECTION("it is being made") {
        status.state = MachineState::provisioning;
        status.url.clear();
        status.summary = "provisioning: 2 of 9 steps done; python";
        expected = "agent url: Jupyter is not open: provisioning: 2 of 9 steps done; python; "
                   "`agent status --wait` waits for it\n";
    }
    SECTION("it failed") {
        status.state = MachineState::failed;
        status.url.clear();
        status.summary = "failed: python: no space";
        status.problem = Problem{"python", "permanent", "no space", "make some"};
        expected = "agent url: Jupyter is not open: failed: python: no space; next: make some\n";
    }
    SECTION("it stopped answering") {
        status.state = MachineState::degraded;
        status.summary = "degraded: ready: Jupyter stopped answering";
        status.problem = Problem{"ready", "transient", "Jupyter stopped answering", ""};
        expected = "agent url: Jupyter is not open: degraded: ready: Jupyter stopped answering\n";
    }
    const Machine machine{status};
    const LockHolder daemon{machine.lock()};
    const Said said = machine.url(Output::terminal);
    CHECK(said.exit == 1);
    CHECK(said.out.empty());
    CHECK(said.errors == expected);
}

TEST_CASE("url: what a dead daemon left is no address", "[unit][commands]") {
    const Machine machine{open_status()};
    const Said said = machine.url(Output::terminal);
    CHECK(said.exit == 1);
    CHECK(said.out.empty());
    CHECK_THAT(said.errors, ContainsSubstring("the agent is not running"));
}
