#include "agent/commands/shell.hpp"
#include "agent/ports/layout.hpp"
#include "agent/report/machine_file.hpp"
#include "tests/fakes/fake_accounts.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;
using Places = std::vector<std::filesystem::path>;

namespace {

constexpr uid_t ada = 1234;
constexpr uid_t somebody = 4321;

class Machine {
public:
    Machine() {
        std::filesystem::create_directories(root() / "/opt/jupyter/bin");
        std::filesystem::create_directories(root() / layout::runtime_directory);
        std::ofstream{root() / "/opt/jupyter/bin/python"} << "";
        card.user = "ada";
        card.prefix = "/opt/jupyter";
        card.directory = "work";
        auto& user = accounts.add("ada");
        user.uid = ada;
        user.gid = ada;
        commands.when({"id", "--groups", "ada"}).exits(0, "1234 27 44\n");
    }
    [[nodiscard]] Root root() const { return directory_.root(); }
    Result<ShellAnswer> ask(uid_t uid, Words command = {}) {
        REQUIRE(write_machine_card(root(), card).has_value());
        boost::asio::io_context io;
        return run_coroutine(
            io, shell_session(root(), commands, accounts, {uid, environment}, std::move(command)));
    }
    Session session(uid_t uid, Words command = {}) {
        auto answer = ask(uid, std::move(command)).value();
        REQUIRE(std::holds_alternative<Session>(answer));
        return std::get<Session>(std::move(answer));
    }

    MachineCard card;
    FakeAccounts accounts;
    FakeCommands commands;
    std::map<std::string, std::string> environment{{"TERM", "xterm"},
                                                   {"LC_ALL", "ru_RU.UTF-8"},
                                                   {"PATH", "/root/bin"},
                                                   {"HOME", "/root"},
                                                   {"SUDO_USER", "somebody"},
                                                   {"LD_PRELOAD", "/tmp/evil.so"}};

private:
    TempRoot directory_;
};

} // namespace

TEST_CASE("shell: root becomes the machine's user, with all of his groups", "[unit][commands]") {
    Machine machine;
    const auto session = machine.session(0, {"python", "-c", "print(1)"});
    CHECK(session.argv == Words{"python", "-c", "print(1)"});
    REQUIRE(session.as.has_value());
    CHECK(session.as->uid == ada);
    CHECK(session.groups == std::vector<gid_t>{1234, 27, 44});
}

TEST_CASE("shell: the machine's user stays who he is", "[unit][commands]") {
    Machine machine;
    CHECK_FALSE(machine.session(ada).as.has_value());
    CHECK(machine.commands.ran.empty());
}

TEST_CASE("shell: nobody else gets one", "[unit][commands]") {
    Machine machine;
    const auto answer = machine.ask(somebody).value();
    REQUIRE(std::holds_alternative<NotAllowed>(answer));
    CHECK_THAT(std::get<NotAllowed>(answer).message, ContainsSubstring("only root and ada"));
}

TEST_CASE("shell: the surroundings are the user's and the environment's, not the caller's",
          "[unit][commands]") {
    Machine machine;
    const auto session = machine.session(0);
    const auto& variables = session.environment;
    CHECK(session.argv == Words{"/bin/bash"});
    CHECK(variables.at("HOME") == "/home/ada");
    CHECK(variables.at("USER") == "ada");
    CHECK(variables.at("SHELL") == "/bin/bash");
    CHECK(variables.at("TERM") == "xterm");
    CHECK(variables.at("LC_ALL") == "ru_RU.UTF-8");
    CHECK(variables.at("PATH").starts_with("/opt/jupyter/bin:"));
    for (const char* name :
         {"LD_PRELOAD", "SUDO_USER", "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR"})
        CHECK_FALSE(variables.contains(name));
    CHECK(session.directories == Places{"/home/ada/work", "/home/ada", "/"});
}

TEST_CASE("shell: it knows the company's network as Jupyter does, unless the caller knows better",
          "[unit][commands]") {
    Machine machine;
    machine.card.variables = {{"https_proxy", "http://proxy:3128"},
                              {"no_proxy", "localhost"},
                              {"PIP_CERT", "/etc/company.pem"},
                              {"LD_PRELOAD", "/tmp/evil.so"}};
    machine.environment["https_proxy"] = "http://mine:1";
    machine.environment["SSL_CERT_FILE"] = "/etc/mine.pem";
    const auto variables = machine.session(0).environment;
    CHECK(variables.at("https_proxy") == "http://mine:1");
    CHECK(variables.at("no_proxy") == "localhost");
    CHECK(variables.at("PIP_CERT") == "/etc/company.pem");
    CHECK(variables.at("SSL_CERT_FILE") == "/etc/mine.pem");
    CHECK(variables.at("HOME") == "/home/ada");
    CHECK_FALSE(variables.contains("LD_PRELOAD"));
}

TEST_CASE("shell: it begins where Jupyter does", "[unit][commands]") {
    Machine machine;
    machine.card.directory = GENERATE(as<std::string>{}, "", "/srv/data");
    const Places wanted = machine.card.directory.empty() ? Places{"/home/ada", "/"}
                                                         : Places{"/srv/data", "/home/ada", "/"};
    CHECK(machine.session(ada).directories == wanted);
}

TEST_CASE("shell: a user without a shell gets bash", "[unit][commands]") {
    Machine machine;
    machine.accounts.users["ada"].shell =
        GENERATE(as<std::string>{}, "", "/usr/sbin/nologin", "/bin/false");
    const auto session = machine.session(0);
    CHECK(session.argv == Words{"/bin/bash"});
    CHECK(session.environment.at("SHELL") == "/bin/bash");
    machine.accounts.users["ada"].shell = "/usr/bin/fish";
    CHECK(machine.session(0).argv == Words{"/usr/bin/fish"});
}

TEST_CASE("shell: what is not there yet is said", "[unit][commands]") {
    Machine machine;
    std::string what;
    SECTION("the daemon's word") {
        machine.card.user = "";
        what = "has not said yet";
    }
    SECTION("the user") {
        machine.accounts.users.clear();
        what = "no user ada yet";
    }
    SECTION("the environment") {
        std::filesystem::remove(machine.root() / "/opt/jupyter/bin/python");
        what = "no Python in /opt/jupyter yet";
    }
    SECTION("and what there will never be") {
        machine.card.prefix = "";
        what = "kind is \"none\"";
    }
    const auto refused = machine.ask(0);
    REQUIRE(refused.has_error());
    CHECK_THAT(refused.error().message, ContainsSubstring(what));
}
