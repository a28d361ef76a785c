#include "agent/command_line.hpp"
#include "agent/ports/layout.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

using namespace agent;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

namespace {

command_line::Invocation parsed(const Words& words) {
    std::vector<const char*> argv{"agent"};
    for (const auto& word : words)
        argv.push_back(word.c_str());
    return command_line::parse(static_cast<int>(argv.size()), argv.data());
}

template <class T> T parsed_as(const Words& words) {
    const auto invocation = parsed(words);
    INFO("agent " << (words.empty() ? "" : words.front()));
    REQUIRE(std::holds_alternative<T>(invocation));
    return std::get<T>(invocation);
}

} // namespace

TEST_CASE("command line: wrong usage is exit 64 and points at the help", "[unit][commands]") {
    const auto words = GENERATE(Words{},
                                Words{"nonsense"},
                                Words{"--nonsense"},
                                Words{"run", "now"},
                                Words{"status", "--jsno"},
                                Words{"status", "--watch", "--json"},
                                Words{"url", "--token"},
                                Words{"cert", "file"},
                                Words{"status", "--wait=soon"},
                                Words{"status", "--wait=10"},
                                Words{"status", "--wait=-5s"},
                                Words{"status", "--wait", "later"},
                                Words{"status", "extra", "word"},
                                Words{"check"},
                                Words{"check", "--strict", "a.toml"},
                                Words{"check", "--json"},
                                Words{"config", "a.toml"},
                                Words{"config", "--toml"},
                                Words{"password", "geheim"},
                                Words{"retry", "python", "front"},
                                Words{"hold"},
                                Words{"hold", "long"},
                                Words{"hold", "0s"},
                                Words{"release", "python"},
                                Words{"plan", "python"},
                                Words{"log", "python", "front"},
                                Words{"jupyter"},
                                Words{"jupyter", "--program", "/bin/true"},
                                Words{"front"},
                                Words{"front", "--backend-owner", "somebody"},
                                Words{"worker"},
                                Words{"worker", "nonsense"},
                                Words{"worker", "environment"});
    INFO((words.empty() ? std::string{"(nothing)"} : words.back()));
    const auto answer = parsed_as<command_line::Answer>(words);
    CHECK(answer.exit_code == 64);
    CHECK(answer.text.starts_with("agent: "));
    CHECK_THAT(answer.text, ContainsSubstring("agent --help"));
    CHECK(answer.text.ends_with('\n'));
}

TEST_CASE("command line: help and the version are answers, not failures", "[unit][commands]") {
    const auto help = parsed_as<command_line::Answer>({"--help"});
    CHECK(help.exit_code == 0);
    for (const std::string command : {"run",
                                      "status",
                                      "plan",
                                      "log",
                                      "url",
                                      "cert",
                                      "check",
                                      "password",
                                      "shell",
                                      "retry",
                                      "hold",
                                      "release",
                                      "jupyter",
                                      "front"})
        CHECK_THAT(help.text, ContainsSubstring("\n  " + command + " "));
    CHECK_THAT(help.text, !ContainsSubstring("worker"));
    const auto version = parsed_as<command_line::Answer>({"--version"});
    CHECK(version.exit_code == 0);
    CHECK(version.text.starts_with("agent 0."));
    CHECK(parsed_as<command_line::Answer>({"status", "--help"}).exit_code == 0);
}

TEST_CASE("command line: status waits for ever, for a while, or not at all", "[unit][commands]") {
    struct Row {
        Words words;
        bool json;
        bool wait;
        std::optional<std::chrono::milliseconds> timeout;
    };
    const auto row = GENERATE(Row{{"status"}, false, false, {}},
                              Row{{"status", "--json"}, true, false, {}},
                              Row{{"status", "--wait"}, false, true, {}},
                              Row{{"status", "--wait", "--json"}, true, true, {}},
                              Row{{"status", "--json", "--wait"}, true, true, {}},
                              Row{{"status", "--wait=90s"}, false, true, 90s},
                              Row{{"status", "--wait", "10m"}, false, true, 10min},
                              Row{{"status", "--wait=2h", "--json"}, true, true, 2h},
                              Row{{"status", "--wait=0s"}, false, true, 0s});
    const auto status = parsed_as<command_line::Status>(row.words);
    CHECK(status.json == row.json);
    CHECK(status.wait == row.wait);
    CHECK(status.timeout == row.timeout);
}

TEST_CASE("command line: status is watched, for ever or until it has settled", "[unit][commands]") {
    const auto watched = parsed_as<command_line::Status>({"status", "--watch"});
    CHECK(watched.watch);
    CHECK_FALSE(watched.wait);
    for (const Words& words :
         {Words{"status", "--watch", "--wait=90s"}, Words{"status", "--wait", "90s", "--watch"}}) {
        const auto status = parsed_as<command_line::Status>(words);
        CHECK(status.watch);
        CHECK(status.wait);
        CHECK(status.timeout == 90s);
    }
    const auto endless = parsed_as<command_line::Status>({"status", "--wait", "--watch"});
    CHECK(endless.watch);
    CHECK(endless.wait);
    CHECK_FALSE(endless.timeout);
}

TEST_CASE("command line: every file to check is taken, in its order", "[unit][commands]") {
    const auto check = parsed_as<command_line::Check>({"check", "b.toml", "a.toml"});
    CHECK(check.files == std::vector<std::filesystem::path>{"b.toml", "a.toml"});
}

TEST_CASE("command line: what people and machines read are two forms", "[unit][commands]") {
    CHECK_FALSE(parsed_as<command_line::Check>({"check", "a.toml"}).json);
    CHECK(parsed_as<command_line::Check>({"check", "--json", "a.toml"}).json);
    CHECK_FALSE(parsed_as<command_line::Config>({"config"}).json);
    CHECK(parsed_as<command_line::Config>({"config", "--json"}).json);
}

TEST_CASE("command line: commands without options are themselves", "[unit][commands]") {
    parsed_as<command_line::Run>({"run"});
    parsed_as<command_line::Url>({"url"});
    parsed_as<command_line::Cert>({"cert"});
    CHECK_FALSE(parsed_as<command_line::Password>({"password"}).set);
    CHECK(parsed_as<command_line::Password>({"password", "--set"}).set);
    CHECK_FALSE(parsed_as<command_line::Password>({"password"}).for_old_notebook);
    CHECK(
        parsed_as<command_line::Password>({"password", "--for", "notebook-6.0"}).for_old_notebook);
    CHECK(parsed_as<command_line::Answer>({"password", "--for", "notebook-7"}).exit_code == 64);
    parsed_as<command_line::Release>({"release"});
    parsed_as<command_line::ProbeWorker>({"worker", "probe"});
    parsed_as<command_line::AccountWorker>({"worker", "account"});
    parsed_as<command_line::BucketWorker>({"worker", "bucket"});
    CHECK(parsed_as<command_line::RequirementsWorker>({"worker", "requirements", "-"}).file == "-");
    CHECK(parsed_as<command_line::ShellWorker>({"worker", "shell", "/opt/x"}).prefix == "/opt/x");
    CHECK(parsed_as<command_line::ShellWorker>({"worker", "shell", "--complete", "/x"}).complete);
    CHECK(parsed_as<command_line::EnvironmentWorker>({"worker", "environment", "/opt/jupyter"})
              .prefix == "/opt/jupyter");
}

TEST_CASE("command line: what the daemon is asked for", "[unit][commands]") {
    CHECK(parsed_as<command_line::Retry>({"retry"}).step.empty());
    CHECK(parsed_as<command_line::Retry>({"retry", "python"}).step == "python");
    CHECK(parsed_as<command_line::Hold>({"hold", "2h"}).duration == 2h);
    CHECK(parsed_as<command_line::Hold>({"hold", "1ms"}).duration == 1s);
}

TEST_CASE("command line: what was said and what will be done", "[unit][commands]") {
    CHECK_FALSE(parsed_as<command_line::Plan>({"plan"}).json);
    CHECK(parsed_as<command_line::Plan>({"plan", "--json"}).json);
    CHECK(parsed_as<command_line::Log>({"log"}).step.empty());
    CHECK_FALSE(parsed_as<command_line::Log>({"log"}).follow);
    for (const Words& words : {Words{"log", "python", "-f"}, Words{"log", "--follow", "python"}}) {
        const auto log = parsed_as<command_line::Log>(words);
        CHECK(log.step == "python");
        CHECK(log.follow);
    }
}

TEST_CASE("command line: the units say what their processes need to know", "[unit][commands]") {
    const auto jupyter = parsed_as<command_line::Jupyter>(
        {"jupyter", "--program", "/opt/jupyter/bin/jupyter-lab", "--config", "/etc/agent/j.json"});
    CHECK(jupyter.program == "/opt/jupyter/bin/jupyter-lab");
    CHECK(jupyter.config == "/etc/agent/j.json");
    CHECK_FALSE(jupyter.keep_groups);
    CHECK(parsed_as<command_line::Jupyter>({"jupyter",
                                            "--program",
                                            "/opt/jupyter/bin/jupyter-lab",
                                            "--config",
                                            "/etc/agent/j.json",
                                            "--keep-groups"})
              .keep_groups);
    const auto front = parsed_as<command_line::Front>({"front", "--backend-owner", "1000"});
    CHECK(front.backend_owner == 1000);
    CHECK(front.backend == layout::jupyter_socket);
    CHECK(parsed_as<command_line::Front>(
              {"front", "--backend", "/run/other.sock", "--backend-owner=1000"})
              .backend == "/run/other.sock");
}

TEST_CASE("command line: what stands after -- is the shell's command, whatever it is called",
          "[unit][commands]") {
    CHECK(parsed_as<command_line::Shell>({"shell"}).command.empty());
    CHECK(parsed_as<command_line::Shell>({"shell", "--", "python", "-c", "print(1)", "--set"})
              .command == Words{"python", "-c", "print(1)", "--set"});
    CHECK(parsed_as<command_line::Shell>({"shell", "--", "status", "--json"}).command ==
          Words{"status", "--json"});
    CHECK(parsed_as<command_line::Shell>({"shell", "--", "ls", "--", "-x"}).command ==
          Words{"ls", "--", "-x"});
}
