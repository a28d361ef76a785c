#include "agent/base/unique_fd.hpp"
#include "agent/ports/jupyter_identity.hpp"
#include "agent/supervise/jupyter_service.hpp"
#include "tests/fakes/fake_child.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/fakes/fake_notifier.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace agent {
namespace {

using namespace std::chrono_literals;
using Words = std::vector<std::string>;

constexpr const char* token = "7777777777777777777777777777777777777777777777777777777777777777";

enum class Mood { dead, healthy, open, hung };

// Jupyter as its socket shows it, in the mood that the test's schedule gives for the moment.
class JupyterHttp final : public HttpClient {
public:
    explicit JupyterHttp(test::FakeClock& clock) : clock_{clock} {}

    boost::asio::awaitable<Result<HttpResponse>> exchange(HttpRequest request) override {
        const Mood mood = schedule(clock_.now() - begin_);
        requests.push_back(request);
        if (mood == Mood::dead)
            co_return transient("refused");
        if (mood == Mood::hung) {
            co_await clock_.sleep(request.deadline);
            co_return transient("no answer in time");
        }
        const auto sent = request.headers.find("Authorization");
        const bool known =
            sent != request.headers.end() && sent->second == std::string{"token "} + token;
        HttpResponse response;
        response.status = known || mood == Mood::open ? 200 : 403;
        co_return response;
    }

    std::function<Mood(Monotonic::duration)> schedule = [](Monotonic::duration) {
        return Mood::healthy;
    };
    std::vector<HttpRequest> requests;

private:
    test::FakeClock& clock_;
    Monotonic begin_ = clock_.now();
};

// This process's groups, as the unit lets it leave them.
class FakeGroups final : public OwnGroups {
public:
    [[nodiscard]] gid_t primary() const override { return 1000; }
    [[nodiscard]] Result<std::vector<gid_t>> supplementary() const override { return held; }
    Result<void> leave(const std::vector<gid_t>& groups) override {
        if (!may_leave && !groups.empty())
            return misconfigured("leaving groups: Operation not permitted");
        left.push_back(groups);
        return {};
    }

    std::vector<gid_t> held{1000};
    bool may_leave = true;
    std::vector<std::vector<gid_t>> left; // each time
};

class Stage {
public:
    Stage() {
        commands.when({"getent", "group"}).exits(0, "someone:x:1000:\n");
        write_config(R"({"ServerApp":{"sock":")" + socket().string() +
                     R"("},"IdentityProvider":{"token":")" + token + R"("}})");
        children.child.on_signal = [this](int number) {
            if (number == SIGTERM)
                children.child.end(Exited{0});
            else
                children.child.end(Signaled{number});
        };
    }

    [[nodiscard]] std::filesystem::path socket() const { return directory.path() / "jupyter.sock"; }
    [[nodiscard]] std::filesystem::path config() const { return directory.path() / "jupyter.json"; }
    void write_config(const std::string& text) {
        content = text;
        std::ofstream{config()} << text;
    }
    [[nodiscard]] std::string starting() const {
        return "STATUS=" + jupyter_starting_status(jupyter_config_id(content, options().program));
    }
    [[nodiscard]] std::string serving() const {
        return "STATUS=serving " + jupyter_config_id(content, options().program);
    }
    [[nodiscard]] JupyterOptions options() const {
        return {.program = "/opt/jupyter/bin/jupyter-lab", .config = config()};
    }
    // Something that happens once, that long after the start.
    void at(std::chrono::milliseconds when, std::function<void()> happens) {
        children.child.on_tick = [this, when, happens = std::move(happens)](Monotonic now) {
            if (now - begin_ >= when && !std::exchange(happened_, true))
                happens();
        };
    }
    int serve() { return serve(options()); }
    int serve(JupyterOptions with) {
        const JupyterWorld world{children, http, clock, notifier, commands, groups};
        return test::run_coroutine(io, serve_jupyter(std::move(with), world, stop.get_token()));
    }
    [[nodiscard]] Monotonic::duration passed() const { return clock.now() - begin_; }

    boost::asio::io_context io;
    test::TempRoot directory;
    test::FakeClock clock;
    test::FakeChildLauncher children{clock};
    JupyterHttp http{clock};
    test::FakeNotifier notifier;
    test::FakeCommands commands;
    FakeGroups groups;
    std::stop_source stop;
    std::string content;

private:
    Monotonic begin_ = clock.now();
    bool happened_ = false;
};

TEST_CASE("jupyter: ready is said when the probe has passed, with what is served",
          "[unit][supervise]") {
    Stage stage;
    stage.http.schedule = [](Monotonic::duration passed) {
        return passed < 3s ? Mood::dead : Mood::healthy;
    };
    stage.at(60s, [&] { stage.stop.request_stop(); });
    CHECK(stage.serve() == 0);
    CHECK(stage.notifier.words ==
          Words{stage.starting(), stage.serving(), "READY=1", "STOPPING=1"});
    CHECK(stage.children.child.signals == std::vector<int>{SIGTERM});
}

TEST_CASE("jupyter: powerful groups are left before it is started", "[unit][supervise]") {
    Stage stage;
    stage.groups.held = {4, 44, 1000, 2000};
    stage.commands.when({"getent", "group"})
        .exits(0, "adm:x:4:\nvideo:x:44:\nsomeone:x:1000:\ndocker:x:2000:someone\n");
    stage.children.child.on_tick = [&](Monotonic) { stage.stop.request_stop(); };
    SECTION("unless they are to be kept") {
        auto options = stage.options();
        options.groups = PowerfulGroups::kept;
        CHECK(stage.serve(options) == 0);
        CHECK(stage.groups.left.empty());
        CHECK(stage.children.launched.size() == 1);
    }
    SECTION("these and no others") {
        CHECK(stage.serve() == 0);
        CHECK(stage.groups.left == std::vector<std::vector<gid_t>>{{4, 2000}});
        CHECK(stage.children.launched.size() == 1);
    }
    SECTION("and where that is not allowed it is not started") {
        stage.groups.may_leave = false;
        CHECK(stage.serve() == 78);
        CHECK(stage.children.launched.empty());
    }
    SECTION("and where their names cannot be had it is tried again") {
        stage.commands.when({"getent", "group"}).times_out();
        CHECK(stage.serve() == 1);
        CHECK(stage.children.launched.empty());
    }
}

TEST_CASE("jupyter: capabilities are given up even where no group is left", "[unit][supervise]") {
    Stage stage;
    stage.groups.held = {};
    stage.at(1s, [&] { stage.stop.request_stop(); });
    CHECK(stage.serve() == 0);
    CHECK(stage.groups.left == std::vector<std::vector<gid_t>>{{}});
    CHECK(stage.commands.ran.empty());
}

TEST_CASE("jupyter: it is probed on its own socket, and only our own process is believed",
          "[unit][supervise]") {
    Stage stage;
    stage.at(1s, [&] { stage.stop.request_stop(); });
    REQUIRE(stage.serve() == 0);
    REQUIRE_FALSE(stage.http.requests.empty());
    const auto* endpoint = std::get_if<UnixEndpoint>(&stage.http.requests.front().endpoint);
    REQUIRE(endpoint);
    CHECK(endpoint->path == stage.socket());
    CHECK(endpoint->owner == ::geteuid());
}

TEST_CASE("jupyter: a stranger's question is asked until it was refused once, not for ever",
          "[unit][supervise]") {
    Stage stage;
    stage.at(60s, [&] { stage.stop.request_stop(); });
    REQUIRE(stage.serve() == 0);
    Words asked;
    for (const auto& request : stage.http.requests)
        asked.push_back(request.target);
    REQUIRE(asked.size() >= 5);
    CHECK(asked.front() == "/api/contents");
    CHECK(std::count(asked.begin(), asked.end(), "/api/contents") == 1);
}

TEST_CASE("jupyter: it is started with our configuration and nothing of our environment",
          "[unit][supervise]") {
    ::setenv("NOTIFY_SOCKET", "/run/systemd/notify", 1);
    ::setenv("CREDENTIALS_DIRECTORY", "/run/credentials", 1);
    ::setenv("HOME", "/home/anaconda", 1);
    Stage stage;
    stage.at(1s, [&] { stage.stop.request_stop(); });
    REQUIRE(stage.serve() == 0);
    REQUIRE(stage.children.launched.size() == 1);
    const auto& program = stage.children.launched.front();
    CHECK(program.argv ==
          Words{"/opt/jupyter/bin/jupyter-lab", "--config=" + stage.config().string()});
    CHECK(program.directory == "/");
    CHECK_FALSE(program.environment.contains("NOTIFY_SOCKET"));
    CHECK_FALSE(program.environment.contains("CREDENTIALS_DIRECTORY"));
    CHECK(program.environment.at("HOME") == "/home/anaconda");
    ::unsetenv("NOTIFY_SOCKET");
    ::unsetenv("CREDENTIALS_DIRECTORY");
}

TEST_CASE("jupyter: when it ends by itself systemd must start it again", "[unit][supervise]") {
    Stage stage;
    const auto end = GENERATE(test::ChildScript::End{Exited{0}},
                              test::ChildScript::End{Exited{1}},
                              test::ChildScript::End{Signaled{SIGKILL}});
    stage.at(5s, [&] { stage.children.child.end(end); });
    CHECK(stage.serve() == 1);
    CHECK(stage.children.child.signals.empty());
}

TEST_CASE("jupyter: one that never answers is ended after two minutes", "[unit][supervise]") {
    Stage stage;
    stage.http.schedule = [](Monotonic::duration) { return Mood::dead; };
    CHECK(stage.serve() == 1);
    CHECK(stage.passed() >= 120s);
    CHECK(stage.passed() < 122s);
    CHECK(stage.notifier.words ==
          Words{stage.starting(),
                "STOPPING=1",
                std::string{"STATUS=Jupyter did not answer within 120 s of its start: "} +
                    "asking Jupyter for its files without a token: refused"});
}

TEST_CASE("jupyter: one that hangs is ended, by force if it must be", "[unit][supervise]") {
    Stage stage;
    stage.http.schedule = [](Monotonic::duration passed) {
        return passed < 60s ? Mood::healthy : Mood::hung;
    };
    stage.children.child.on_signal = [&](int number) {
        if (number == SIGKILL)
            stage.children.child.end(Signaled{SIGKILL});
    };
    CHECK(stage.serve() == 1);
    CHECK(stage.children.child.signals == std::vector<int>{SIGTERM, SIGKILL});
    CHECK(stage.passed() >= 60s + 30s + 20s);
}

TEST_CASE("jupyter: trouble that passes costs no kernel", "[unit][supervise]") {
    Stage stage;
    stage.http.schedule = [](Monotonic::duration passed) {
        return passed > 60s && passed < 80s ? Mood::dead : Mood::healthy;
    };
    stage.at(120s, [&] { stage.stop.request_stop(); });
    CHECK(stage.serve() == 0);
    CHECK(stage.notifier.words ==
          Words{stage.starting(),
                stage.serving(),
                "READY=1",
                "STATUS=not answering: asking Jupyter for its status: refused",
                stage.serving(),
                "READY=1",
                "STOPPING=1"});
}

TEST_CASE("jupyter: one that is open is killed at once", "[unit][supervise]") {
    Stage stage;
    stage.http.schedule = [](Monotonic::duration) { return Mood::open; };
    CHECK(stage.serve() == 1);
    CHECK(stage.passed() < 1s);
    CHECK(stage.children.child.signals == std::vector<int>{SIGKILL});
}

TEST_CASE("jupyter: a stop is obeyed within its time even by one that ignores SIGTERM",
          "[unit][supervise]") {
    Stage stage;
    stage.children.child.on_signal = [&](int number) {
        if (number == SIGKILL)
            stage.children.child.end(Signaled{SIGKILL});
    };
    stage.at(30s, [&] { stage.stop.request_stop(); });
    CHECK(stage.serve() == 0);
    CHECK(stage.children.child.signals == std::vector<int>{SIGTERM, SIGKILL});
    CHECK(stage.passed() < 46s);
}

TEST_CASE("jupyter: the watchdog is fed while it starts, serves and ends", "[unit][supervise]") {
    Stage stage;
    stage.notifier.watched = 6s;
    stage.children.child.on_signal = [&](int number) {
        if (number == SIGKILL)
            stage.children.child.end(Signaled{SIGKILL});
    };
    stage.at(60s, [&] { stage.stop.request_stop(); });
    CHECK(stage.serve() == 0);
    CHECK(stage.notifier.pings >= 37); // 75 s, at most 2 s apart
}

TEST_CASE("jupyter: a stop before the start starts nothing", "[unit][supervise]") {
    Stage stage;
    stage.stop.request_stop();
    CHECK(stage.serve() == 0);
    CHECK(stage.children.launched.empty());
}

TEST_CASE("jupyter: without a sound configuration it is not started at all", "[unit][supervise]") {
    Stage stage;
    const std::string quoted = "\"" + std::string{token} + "\"}}";
    const std::string sock = R"("ServerApp":{"sock":"/run/agent-jupyter/jupyter.sock"})";
    const std::string text =
        GENERATE_COPY(std::string{},
                      std::string{R"({"ServerApp":)"},
                      std::string{"[]"},
                      "{" + sock + "}",
                      "{" + sock + R"(,"IdentityProvider":{"token":""}})",
                      "{" + sock + R"(,"IdentityProvider":{"token":"short"}})",
                      R"({"ServerApp":{},"IdentityProvider":{"token":)" + quoted,
                      R"({"ServerApp":{"sock":"j.sock"},"IdentityProvider":{"token":)" + quoted);
    stage.write_config(text);
    CHECK(stage.serve() == 78);
    CHECK(stage.children.launched.empty());
}

TEST_CASE("jupyter: a missing configuration is refused with its name", "[unit][supervise]") {
    const auto access = read_jupyter_access({.program = "/x", .config = "/nowhere/jupyter.json"});
    REQUIRE(access.has_error());
    CHECK(access.error().kind == ErrorKind::misconfigured);
    CHECK(access.error().message == "/nowhere/jupyter.json is missing");
}

TEST_CASE("jupyter: no refusal repeats the token", "[unit][supervise]") {
    Stage stage;
    stage.write_config(R"({"IdentityProvider":{"token":")" + std::string{token} + R"("}})");
    const auto access = read_jupyter_access(stage.options());
    REQUIRE(access.has_error());
    CHECK(access.error().message.find(token) == std::string::npos);
}

TEST_CASE("jupyter: a socket left behind is removed, anything else is not", "[unit][supervise]") {
    Stage stage;
    stage.at(1s, [&] { stage.stop.request_stop(); });
    SECTION("a socket") {
        const UniqueFd fd{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        stage.socket().string().copy(std::begin(name.sun_path), sizeof name.sun_path - 1);
        REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0);
        CHECK(stage.serve() == 0);
        CHECK_FALSE(std::filesystem::exists(stage.socket()));
    }
    SECTION("a file") {
        std::ofstream{stage.socket()} << "mine";
        CHECK(stage.serve() == 1);
        CHECK(stage.children.launched.empty());
        CHECK(std::filesystem::exists(stage.socket()));
    }
}

TEST_CASE("jupyter: a program that cannot be started is a failure to be tried again",
          "[unit][supervise]") {
    Stage stage;
    stage.children.refusal = permanent("starting /opt/jupyter/bin/jupyter-lab: no such file");
    CHECK(stage.serve() == 1);
}

TEST_CASE("jupyter's environment: who the user is, and where the programs are",
          "[unit][supervise]") {
    const test::TempRoot directory;
    const auto program = directory.path() / "bin" / "jupyter-lab";
    const std::map<std::string, std::string> inherited{{"HOME", "/home/ada"},
                                                       {"USER", "ada"},
                                                       {"LOGNAME", "ada"},
                                                       {"SHELL", "/usr/sbin/nologin"},
                                                       {"PATH", "/somewhere"},
                                                       {"JUPYTER_TOKEN", "leak"}};
    std::map<std::string, std::string> wanted{
        {"HOME", "/home/ada"},
        {"USER", "ada"},
        {"LOGNAME", "ada"},
        {"SHELL", "/bin/bash"},
        {"PATH",
         (directory.path() / "bin").string() +
             ":/home/ada/.local/bin:/usr/local/bin:/usr/bin:/bin"},
        {"LANG", "C.UTF-8"},
        {"TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR", "1"}};
    SECTION("beside a plain Python") {
        CHECK(jupyter_environment(program, inherited) == wanted);
    }
    SECTION("in a virtual environment") {
        std::ofstream{directory.path() / "pyvenv.cfg"} << "home = /usr/bin\n";
        wanted["VIRTUAL_ENV"] = directory.path().string();
        CHECK(jupyter_environment(program, inherited) == wanted);
    }
    SECTION("in a company's network") {
        auto with_network = inherited;
        for (const char* name : {"https_proxy", "no_proxy", "PIP_CERT"})
            with_network[name] = wanted[name] = "of the network";
        CHECK(jupyter_environment(program, with_network) == wanted);
    }
    SECTION("in conda's base") {
        std::filesystem::create_directory(directory.path() / "conda-meta");
        wanted["CONDA_PREFIX"] = directory.path().string();
        wanted["CONDA_DEFAULT_ENV"] = "base";
        CHECK(jupyter_environment(program, inherited) == wanted);
    }
    SECTION("in a named environment of conda's") {
        const auto prefix = directory.path() / "envs" / "old";
        std::filesystem::create_directories(prefix / "conda-meta");
        const auto variables = jupyter_environment(prefix / "bin/jupyter-lab", inherited);
        CHECK(variables.at("CONDA_PREFIX") == prefix.string());
        CHECK(variables.at("CONDA_DEFAULT_ENV") == "old");
    }
}

TEST_CASE("jupyter: it is found in whatever terms it is configured", "[unit][supervise]") {
    Stage stage;
    const auto section = [&](const std::string& name, bool with_socket) {
        return "\"" + name + R"(":{"token":")" + token + "\"" +
               (with_socket ? R"(,"sock":")" + stage.socket().string() + "\"" : "") + "}";
    };
    SECTION("jupyter_server 1") {
        stage.write_config("{" + section("ServerApp", true) + "}");
    }
    SECTION("notebook 6.4, JupyterLab 2 on it") {
        stage.write_config("{" + section("NotebookApp", true) + "}");
    }
    const auto access = read_jupyter_access(stage.options());
    REQUIRE(access.has_value());
    CHECK(access->socket == stage.socket());
    CHECK(access->binds_itself);
    CHECK(access->token == Secret{token});
    CHECK(jupyter_command(stage.options(), *access) ==
          Words{"/opt/jupyter/bin/jupyter-lab", "--config=" + stage.config().string()});
}

TEST_CASE("jupyter: a notebook that knows no socket is bound to it by the environment's Python",
          "[unit][supervise]") {
    Stage stage;
    stage.write_config(R"({"Agent":{"sock":")" + stage.socket().string() +
                       R"("},"NotebookApp":{"token":")" + token + R"("}})");
    stage.at(1s, [&] { stage.stop.request_stop(); });
    REQUIRE(stage.serve() == 0);
    REQUIRE(stage.children.launched.size() == 1);
    const auto& argv = stage.children.launched.front().argv;
    REQUIRE(argv.size() == 6);
    CHECK(argv[0] == "/opt/jupyter/bin/python");
    CHECK(argv[1] == "-c");
    CHECK(Words(argv.begin() + 3, argv.end()) == Words{stage.socket().string(),
                                                       "/opt/jupyter/bin/jupyter-lab",
                                                       "--config=" + stage.config().string()});
    for (const auto& word : argv)
        CHECK(word.find(token) == std::string::npos);
    const auto* endpoint = std::get_if<UnixEndpoint>(&stage.http.requests.front().endpoint);
    REQUIRE(endpoint);
    CHECK(endpoint->path == stage.socket());
}

TEST_CASE("jupyter's identity: another content or another program is another one",
          "[unit][supervise]") {
    const auto id = jupyter_config_id("{}", "/opt/jupyter/bin/jupyter-lab");
    CHECK(id.size() == 12);
    CHECK(id != jupyter_config_id("{ }", "/opt/jupyter/bin/jupyter-lab"));
    CHECK(id != jupyter_config_id("{}", "/opt/jupyter/bin/jupyter-notebook"));
    CHECK(jupyter_serving_status(id) == "serving " + id);
}

} // namespace
} // namespace agent
