#include "agent/base/unique_fd.hpp"
#include "agent/commands/password.hpp"
#include "agent/ports/layout.hpp"
#include "tests/fakes/fake_accounts.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/fakes/fake_control.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <array>
#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <sstream>
#include <streambuf>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

using namespace agent;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Matches;

namespace {

struct Outcome {
    int exit = 0;
    std::string output;
    std::string errors;
};

Outcome from_pipe(std::string_view text, PasswordForm form = PasswordForm::argon2) {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const UniqueFd reading{ends[0]};
    {
        const UniqueFd writing{ends[1]};
        REQUIRE(::write(writing.get(), text.data(), text.size()) ==
                static_cast<ssize_t>(text.size()));
    }
    std::ostringstream output;
    std::ostringstream errors;
    const int exit = password_command(reading.get(), form, output, errors);
    return {exit, output.str(), errors.str()};
}

// Somebody at a terminal who types the next line whenever he is prompted.
class Typist : public std::streambuf {
public:
    Typist() : keyboard_{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)} {
        REQUIRE(::grantpt(keyboard_.get()) == 0);
        REQUIRE(::unlockpt(keyboard_.get()) == 0);
        std::array<char, 64> name{};
        REQUIRE(::ptsname_r(keyboard_.get(), name.data(), name.size()) == 0);
        terminal_ = UniqueFd{::open(name.data(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
        REQUIRE(terminal_);
    }

    Outcome run() {
        std::ostringstream output;
        std::ostream errors{this};
        const int exit = password_command(terminal_.get(), PasswordForm::argon2, output, errors);
        return {exit, output.str(), said_};
    }

    [[nodiscard]] bool echoes() const {
        termios now{};
        return ::tcgetattr(terminal_.get(), &now) == 0 && (now.c_lflag & ECHO) != 0;
    }
    // What the terminal showed of the typing.
    [[nodiscard]] std::string shown() const {
        std::array<char, 4096> text{};
        ::fcntl(keyboard_.get(), F_SETFL, O_NONBLOCK);
        const ssize_t count = ::read(keyboard_.get(), text.data(), text.size());
        return {text.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
    }

    std::deque<std::string> lines;
    bool interrupts = false; // at the first prompt, as Ctrl-C does
    bool echoed_at_prompt = false;

protected:
    std::streamsize xsputn(const char* text, std::streamsize count) override {
        said_.append(text, static_cast<std::size_t>(count));
        return count;
    }
    int_type overflow(int_type c) override {
        said_ += static_cast<char>(c);
        return c;
    }
    int sync() override {
        echoed_at_prompt = echoed_at_prompt || echoes();
        if (interrupts)
            ::raise(SIGINT);
        else if (!lines.empty()) {
            const std::string line = lines.front() + "\n";
            lines.pop_front();
            REQUIRE(::write(keyboard_.get(), line.data(), line.size()) ==
                    static_cast<ssize_t>(line.size()));
        }
        return 0;
    }

private:
    UniqueFd keyboard_;
    UniqueFd terminal_;
    std::string said_;
};

extern "C" void take_no_notice(int /*signal*/) {}

const std::string other_password =
    "[jupyter]\npassword_hash = \"argon2:$argon2id$v=19$m=10240,t=10,p=8$"
    "zXPcjPm3AHulgalZNnHnrA$eTL+5PQGtNTyoVT7JfSW2o1hiLNWbq2gaoBF9J8M6BI\"\n";

// A machine whose password is set from a pipe.
class Machine {
public:
    Machine() { std::filesystem::create_directories(root() / layout::config_directory); }
    [[nodiscard]] Root root() const { return directory_.root(); }
    void put(const std::string& path, const std::string& text) const {
        std::ofstream{root() / path} << text;
        std::filesystem::permissions(root() / path, std::filesystem::perms{0600});
    }
    [[nodiscard]] std::string drop_in() const {
        std::ifstream file{root() / layout::password_drop_in};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    Outcome set(const std::string& typed,
                const MachineFacts* facts = nullptr,
                PasswordForm form = PasswordForm::argon2) {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
        const UniqueFd reading{ends[0]};
        {
            const UniqueFd writing{ends[1]};
            REQUIRE(::write(writing.get(), typed.data(), typed.size()) ==
                    static_cast<ssize_t>(typed.size()));
        }
        std::ostringstream output;
        std::ostringstream errors;
        const int exit =
            set_password_command(reading.get(), form, root(), facts, daemon, output, errors);
        return {exit, output.str(), errors.str()};
    }

    [[nodiscard]] PasswordForm form() {
        boost::asio::io_context io;
        return test::run_coroutine(io, password_form_here(root(), nullptr, commands, accounts));
    }

    test::FakeCommands commands;
    test::FakeAccounts accounts;
    test::FakeControlClient daemon{
        ControlAnswer{ControlAnswer::Outcome::accepted, "every step is looked at again"}};

private:
    test::TempRoot directory_;
};

} // namespace

TEST_CASE("password: a line from a pipe becomes a hash and nothing else", "[unit][commands]") {
    const auto outcome = from_pipe(GENERATE("correct horse\n",
                                            "correct horse",
                                            "correct horse\r\n",
                                            "пароль-8\n",
                                            "eight ch\nanother line\n"));
    CHECK(outcome.exit == 0);
    CHECK_THAT(outcome.output, Matches(R"(argon2:\$argon2id\$v=19\$m=10240,t=10,p=8\$.+\n)"));
    CHECK(outcome.errors.empty());
}

TEST_CASE("password: what is no fit password is refused with a sentence", "[unit][commands]") {
    const auto outcome = from_pipe(GENERATE_COPY(std::string{},
                                                 std::string{"\n"},
                                                 std::string{"seven77\n"},
                                                 std::string{"пароль7\n"},
                                                 std::string(1025, 'x') + "\n"));
    CHECK(outcome.exit == 1);
    CHECK(outcome.output.empty());
    CHECK_THAT(outcome.errors, Matches("agent password: .+\\.\n"));
    CHECK_THAT(outcome.errors, !ContainsSubstring("seven77"));
}

TEST_CASE("password: a terminal is asked twice and shows nothing", "[unit][commands]") {
    Typist typist;
    typist.lines = {"correct horse", "correct horse"};
    const auto outcome = typist.run();
    CHECK(outcome.exit == 0);
    CHECK_THAT(outcome.output, ContainsSubstring("argon2:$argon2id$"));
    CHECK(outcome.errors == "Password: Once more: ");
    CHECK_FALSE(typist.echoed_at_prompt);
    CHECK_THAT(typist.shown(), !ContainsSubstring("horse"));
    CHECK(typist.echoes());
}

TEST_CASE("password: two that differ are refused and the terminal is as it was",
          "[unit][commands]") {
    Typist typist;
    typist.lines = {"correct horse", "correct house"};
    const auto outcome = typist.run();
    CHECK(outcome.exit == 1);
    CHECK(outcome.output.empty());
    CHECK_THAT(outcome.errors, ContainsSubstring("differ"));
    CHECK(typist.echoes());
}

TEST_CASE("password: Ctrl-C leaves the terminal as it was", "[unit][commands]") {
    struct sigaction before{};
    struct sigaction harmless{};
    harmless.sa_handler = &take_no_notice;
    REQUIRE(::sigaction(SIGINT, &harmless, &before) == 0);
    Typist typist;
    typist.interrupts = true;
    const auto outcome = typist.run();
    REQUIRE(::sigaction(SIGINT, &before, nullptr) == 0);
    CHECK(outcome.exit == 1);
    CHECK(outcome.output.empty());
    CHECK(typist.echoes());
}

TEST_CASE("password: set here, the hash is in a private drop-in and nowhere else",
          "[unit][commands]") {
    Machine machine;
    const auto outcome = machine.set("correct horse\n");
    CHECK(outcome.exit == 0);
    CHECK(outcome.errors.empty());
    CHECK_THAT(outcome.output, ContainsSubstring(layout::password_drop_in));
    CHECK_THAT(outcome.output, !ContainsSubstring("argon2"));
    CHECK_THAT(machine.drop_in(),
               ContainsSubstring("[jupyter]\npassword_hash = \"argon2:$argon2id$"));
    struct stat status{};
    REQUIRE(::stat((machine.root() / layout::password_drop_in).c_str(), &status) == 0);
    CHECK((status.st_mode & 07777U) == 0600U);
    REQUIRE(machine.daemon.asked.size() == 1);
    CHECK(machine.daemon.asked.front().verb == ControlRequest::Verb::retry);
}

TEST_CASE("password: set again, it takes the place of the earlier one", "[unit][commands]") {
    Machine machine;
    machine.put(layout::config_file, other_password);
    REQUIRE(machine.set("correct horse\n").exit == 0);
    const std::string first = machine.drop_in();
    REQUIRE(machine.set("staple battery\n").exit == 0);
    CHECK(machine.drop_in() != first);
    CHECK(machine.daemon.asked.size() == 2);
}

TEST_CASE("password: what counts more is named, and nothing is written", "[unit][commands]") {
    Machine machine;
    MachineFacts facts;
    std::string who;
    SECTION("the metadata") {
        facts.instance_attributes["agent-config"] = other_password;
        who = "metadata:instance/attributes/agent-config";
    }
    SECTION("a later drop-in") {
        machine.put("/etc/agent/agent.d/95-mine.toml", other_password);
        who = "/etc/agent/agent.d/95-mine.toml";
    }
    const auto outcome = machine.set("correct horse\n", &facts);
    CHECK(outcome.exit == 1);
    CHECK(outcome.output.empty());
    CHECK_THAT(outcome.errors, ContainsSubstring(who + " sets jupyter.password_hash"));
    CHECK_THAT(outcome.errors, !ContainsSubstring("argon2"));
    CHECK(machine.drop_in().empty());
    CHECK(machine.daemon.asked.empty());
}

TEST_CASE("password: what counts less does not matter, nor a metadata without one",
          "[unit][commands]") {
    Machine machine;
    MachineFacts facts;
    facts.instance_attributes["agent-config"] = "[jupyter]\nport = 8888\n";
    machine.put(layout::config_file, other_password);
    machine.put("/etc/agent/agent.d/10-early.toml", other_password);
    CHECK(machine.set("correct horse\n", &facts).exit == 0);
}

TEST_CASE("password: into a configuration that is wrong nothing is set", "[unit][commands]") {
    Machine machine;
    machine.put(layout::config_file, "[python]\npakages = []\n");
    const auto outcome = machine.set("correct horse\n");
    CHECK(outcome.exit == 1);
    CHECK_THAT(outcome.errors, ContainsSubstring("pakages"));
    CHECK(machine.drop_in().empty());
}

TEST_CASE("password: an unfit one is not set", "[unit][commands]") {
    Machine machine;
    const auto outcome = machine.set("short\n");
    CHECK(outcome.exit == 1);
    CHECK(machine.drop_in().empty());
    CHECK(machine.daemon.asked.empty());
}

TEST_CASE("password: without a daemon it is kept, and said so", "[unit][commands]") {
    Machine machine;
    machine.daemon.answer = transient("the agent is not running");
    const auto outcome = machine.set("correct horse\n");
    CHECK(outcome.exit == 1);
    CHECK_THAT(outcome.errors, ContainsSubstring("the agent is not running"));
    CHECK_THAT(outcome.errors, ContainsSubstring("next start"));
    CHECK_FALSE(machine.drop_in().empty());
}

TEST_CASE("password: for an old notebook it is a salted sha256, and a word of caution",
          "[unit][commands]") {
    const auto outcome = from_pipe("correct horse\n", PasswordForm::salted);
    CHECK(outcome.exit == 0);
    CHECK_THAT(outcome.output, Matches("sha256:[0-9a-f]{32}:[0-9a-f]{64}\n"));
    CHECK_THAT(outcome.errors, ContainsSubstring("take a long one"));
    CHECK_THAT(outcome.errors, !ContainsSubstring("horse"));
}

TEST_CASE("password: set here in the form that was asked for", "[unit][commands]") {
    Machine machine;
    // With the argon2 hash that the notebook does not read; it is what is to be replaced.
    machine.put(layout::config_file,
                std::string{other_password} +
                    "interface = \"notebook\"\n[python]\npackages = [\"notebook==6.0.3\"]\n");
    CHECK(machine.set("correct horse\n").exit == 1);
    CHECK(machine.drop_in().empty());
    CHECK(machine.set("correct horse\n", nullptr, PasswordForm::salted).exit == 0);
    CHECK_THAT(machine.drop_in(), ContainsSubstring("password_hash = \"sha256:"));
}

TEST_CASE("password: the form here is what the Jupyter here reads", "[unit][commands]") {
    Machine machine;
    const std::string notebook = "[jupyter]\ninterface = \"notebook\"\n";
    machine.put(layout::config_file, notebook);
    SECTION("without an environment it is what is asked for") {
        CHECK(machine.form() == PasswordForm::argon2);
        machine.put(layout::config_file, notebook + "[python]\npackages = [\"notebook==6.0.3\"]\n");
        CHECK(machine.form() == PasswordForm::salted);
    }
    SECTION("with one it is what is installed") {
        machine.accounts.add("jupyter");
        const auto installed = [&](const std::string& version) {
            machine.commands.when({"worker", "environment", "/opt/jupyter"})
                .exits(0,
                       R"({"exists":true,"python":"","packages":{"notebook":")" + version +
                           R"("}})");
            return machine.form();
        };
        CHECK(installed("6.0.1") == PasswordForm::salted);
        CHECK(installed("6.4.12") == PasswordForm::argon2);
    }
}
