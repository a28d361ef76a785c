#include "agent/ports/documents.hpp"
#include "agent/ports/layout.hpp"
#include "agent/steps/jupyter_config.hpp"
#include "agent/steps/jupyter_token.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::Matches;

namespace {

Secret hash() {
    return Secret{"argon2:$argon2id$v=19$m=10240,t=10,p=8$c2FsdA$aGFzaA"};
}
Secret token() {
    return Secret{std::string(64, 'a')};
}

// What `agent worker environment` says of the environment.
std::string environment(const std::string& packages) {
    return R"({"exists":true,"python":"3.7.4","packages":{)" + packages + "}}\n";
}

class Config {
public:
    explicit Config(std::filesystem::path directory = "work", Secret password = hash())
        : step{world.ports(),
               {"jupyter",
                std::move(directory),
                std::move(password),
                "/opt/jupyter",
                "jupyterlab"}} {
        world.accounts.add("jupyter");
        world.commands.when({"mkdir"}).exits(0);
        world.commands.when({"test", "-d"}).exits(0);
        installed(R"("jupyterlab":"4.4.1","jupyter_server":"2.16.0")");
        world.put(layout::front_token, token().reveal());
    }
    void installed(const std::string& packages) {
        world.commands.when({"worker", "environment", "/opt/jupyter"})
            .exits(0, environment(packages));
    }
    [[nodiscard]] std::string why_due() {
        const auto checked = world.check(step).value();
        return checked.satisfied ? "" : checked.reason;
    }

    StepWorld world;
    JupyterConfig step;
};

Value parsed(const JupyterBuild& build, const Secret& password = hash()) {
    return parse_json(jupyter_config_text(build, "/home/jupyter", password, token())).value();
}

Value parsed(const std::filesystem::path& directory, const Secret& password) {
    const JupyterBuild newest;
    return parse_json(jupyter_config_text(newest, directory, password, token())).value();
}

JupyterBuild notebook(SocketBinding binding, bool is_lab = false) {
    return {"a notebook",
            JupyterDialect::notebook_app,
            binding,
            binding == SocketBinding::by_jupyter,
            is_lab,
            false};
}

JupyterBuild server_1() {
    return {"a server", JupyterDialect::server_1, SocketBinding::by_jupyter, true, true, false};
}

const Value* at(const Value& value, const std::vector<std::string>& path) {
    const Value* found = &value;
    for (const auto& key : path)
        found = found ? found->find(key) : nullptr;
    return found;
}

std::string text_at(const Value& value, const std::vector<std::string>& path) {
    const Value* found = at(value, path);
    return found && found->as_string() ? *found->as_string() : "(none)";
}

bool is(const Value& value, const std::vector<std::string>& path, bool expected) {
    const Value* found = at(value, path);
    return found && found->as_bool() && *found->as_bool() == expected;
}

void need_root() {
    if (::geteuid() != 0)
        SKIP("only root may give the file to root");
}

} // namespace

TEST_CASE("jupyter_config: it listens on its unix socket and nowhere else", "[unit][steps]") {
    const Value config = parsed("/home/jupyter/work", hash());
    CHECK(text_at(config, {"ServerApp", "sock"}) == layout::jupyter_socket);
    REQUIRE(config.as_object());
    for (const auto& section : *config.as_object()) {
        REQUIRE(section.value.as_object());
        for (const auto& member : *section.value.as_object())
            for (const std::string key :
                 {"ip", "port", "certfile", "keyfile", "custom_display_url"})
                CHECK(member.key != key);
    }
}

TEST_CASE("jupyter_config: nobody comes in without the token or the password", "[unit][steps]") {
    const Value config = parsed("/home/jupyter/work", hash());
    CHECK(is(config, {"ServerApp", "allow_unauthenticated_access"}, false));
    CHECK(is(config, {"ServerApp", "allow_root"}, false));
    CHECK(text_at(config, {"IdentityProvider", "token"}) == token().reveal());
    CHECK(text_at(config, {"PasswordIdentityProvider", "hashed_password"}) == hash().reveal());
    CHECK(is(config, {"PasswordIdentityProvider", "allow_password_change"}, false));
    CHECK(is(config, {"IdentityProvider", "secure_cookie"}, true));
}

TEST_CASE("jupyter_config: no section of the user's own files wins over ours", "[unit][steps]") {
    const Value config = parsed("/home/jupyter/work", hash());
    // The class that is used: its section would win over its base's.
    CHECK(text_at(config, {"ServerApp", "identity_provider_class"}) ==
          "jupyter_server.auth.identity.PasswordIdentityProvider");
    CHECK(text_at(config, {"PasswordIdentityProvider", "token"}) == token().reveal());
    CHECK(is(config, {"PasswordIdentityProvider", "secure_cookie"}, true));
    CHECK(is(config, {"ServerApp", "disable_check_xsrf"}, false));
    CHECK(is(config, {"ServerApp", "allow_credentials"}, false));
    CHECK(text_at(config, {"ServerApp", "allow_origin"}).empty());
    CHECK(text_at(config, {"ServerApp", "allow_origin_pat"}).empty());
}

TEST_CASE("jupyter_config: a terminal is no login shell, which would forget the environment",
          "[unit][steps]") {
    const Value config = parsed("/home/jupyter", hash());
    const Value* command = at(config, {"ServerApp", "terminado_settings", "shell_command"});
    REQUIRE(command);
    REQUIRE(command->as_array());
    const auto& words = *command->as_array();
    REQUIRE(words.size() == 3);
    CHECK(*words[0].as_string() == "/bin/sh");
    CHECK_THAT(*words[2].as_string(), ContainsSubstring("exec \"${SHELL:-/bin/bash}\""));
}

TEST_CASE("jupyter_config: without a password the token alone opens", "[unit][steps]") {
    const Value config = parsed("/home/jupyter", Secret{});
    CHECK(text_at(config, {"PasswordIdentityProvider", "hashed_password"}).empty());
    CHECK(text_at(config, {"IdentityProvider", "token"}) == token().reveal());
}

TEST_CASE("jupyter_config: it opens where the configuration says", "[unit][steps]") {
    CHECK(text_at(parsed("/srv/é \"quoted\"", hash()), {"ServerApp", "root_dir"}) ==
          "/srv/é \"quoted\"");
}

TEST_CASE("jupyter_config: the user makes his directory himself", "[unit][steps]") {
    need_root();
    struct Row {
        std::string configured;
        std::string made;
    };
    const auto row = GENERATE(
        Row{"work", "/home/jupyter/work"}, Row{"", "/home/jupyter"}, Row{"/srv/work", "/srv/work"});
    Config config{row.configured};
    REQUIRE(config.world.apply(config.step).has_value());
    const auto make = config.world.commands.all_with("mkdir").front();
    CHECK(FakeCommands::line(make) == "/usr/bin/mkdir --parents -- " + row.made);
    REQUIRE(make.as.has_value());
    CHECK(make.as->name == "jupyter");
    CHECK_THAT(config.world.content(layout::jupyter_config),
               ContainsSubstring("\"" + row.made + "\""));
}

TEST_CASE("jupyter_config: the files are there for those who need them and no one else",
          "[unit][steps]") {
    need_root();
    Config config;
    config.world.accounts.users["jupyter"].gid = 4242;
    REQUIRE(config.world.apply(config.step).has_value());
    CHECK(config.world.mode(layout::jupyter_config) == 0640U);
    struct stat status{};
    REQUIRE(::stat((config.world.root() / layout::jupyter_config).c_str(), &status) == 0);
    CHECK(status.st_uid == 0);
    CHECK(status.st_gid == 4242);
    CHECK(config.why_due().empty());
}

TEST_CASE("jupyter_config: it waits for the token that it names", "[unit][steps]") {
    Config config;
    REQUIRE(std::filesystem::remove(config.world.root() / layout::front_token));
    CHECK(config.why_due() == "the token that it names is to be made");
    const auto refused = config.world.apply(config.step);
    REQUIRE(refused.has_error());
    CHECK_THAT(refused.error().next, ContainsSubstring("jupyter_token"));
}

TEST_CASE("jupyter_config: each Jupyter is configured in its own terms alone", "[unit][steps]") {
    const auto sections = [](const Value& config) {
        std::vector<std::string> names;
        for (const auto& section : *config.as_object())
            if (section.key != "MappingKernelManager" && section.key != "TerminalManager")
                names.push_back(section.key);
        return names;
    };
    using Names = std::vector<std::string>;
    CHECK(sections(parsed(JupyterBuild{})) ==
          Names{"ServerApp", "IdentityProvider", "PasswordIdentityProvider"});
    CHECK(sections(parsed(server_1())) == Names{"ServerApp"});
    CHECK(sections(parsed(notebook(SocketBinding::by_jupyter))) == Names{"NotebookApp"});
    CHECK(sections(parsed(notebook(SocketBinding::by_jupyter, true))) ==
          Names{"LabApp", "NotebookApp"});
    CHECK(sections(parsed(notebook(SocketBinding::by_agent))) == Names{"Agent", "NotebookApp"});
}

TEST_CASE("jupyter_config: an older Jupyter is as closed as a new one", "[unit][steps]") {
    struct Row {
        JupyterBuild build;
        std::string section;
        std::string directory_key;
    };
    const auto row =
        GENERATE(Row{server_1(), "ServerApp", "root_dir"},
                 Row{notebook(SocketBinding::by_jupyter), "NotebookApp", "notebook_dir"},
                 Row{notebook(SocketBinding::by_agent), "NotebookApp", "notebook_dir"},
                 Row{notebook(SocketBinding::by_agent, true), "LabApp", "notebook_dir"});
    const Value config = parsed(row.build);
    CHECK(text_at(config, {row.section, "token"}) == token().reveal());
    CHECK(text_at(config, {row.section, "password"}) == hash().reveal());
    CHECK(is(config, {row.section, "allow_password_change"}, false));
    CHECK(is(config, {row.section, "allow_root"}, false));
    CHECK(is(config, {row.section, "disable_check_xsrf"}, false));
    CHECK(is(config, {row.section, "cookie_options", "secure"}, true));
    // Python 3.7 answers each login with 500 when it is there.
    CHECK(at(config, {row.section, "cookie_options", "samesite"}) == nullptr);
    CHECK(text_at(config, {row.section, "allow_origin"}).empty());
    CHECK(text_at(config, {row.section, row.directory_key}) == "/home/jupyter");
    CHECK(text_at(config, {row.section, "cookie_secret_file"}) == layout::cookie_secret);
}

TEST_CASE("jupyter_config: a notebook that cannot bind the socket has none in its own section",
          "[unit][steps]") {
    const Value itself = parsed(notebook(SocketBinding::by_jupyter));
    CHECK(text_at(itself, {"NotebookApp", "sock"}) == layout::jupyter_socket);
    const Value given = parsed(notebook(SocketBinding::by_agent));
    CHECK(at(given, {"NotebookApp", "sock"}) == nullptr);
    CHECK(text_at(given, {"Agent", "sock"}) == layout::jupyter_socket);
    // If it is started past `agent jupyter`.
    CHECK(text_at(given, {"NotebookApp", "ip"}) == "127.0.0.1");
}

TEST_CASE("jupyter_config: kernels without a thread of their own where they need to be",
          "[unit][steps]") {
    auto build = notebook(SocketBinding::by_jupyter, true);
    const std::string key = "kernel_manager_class";
    CHECK(at(parsed(build), {"NotebookApp", key}) == nullptr);
    build.needs_async_kernels = true;
    for (const char* section : {"NotebookApp", "LabApp"})
        CHECK_THAT(text_at(parsed(build), {section, key}),
                   ContainsSubstring("AsyncMappingKernelManager"));
}

TEST_CASE("jupyter_config: another Jupyter in the environment makes it due", "[unit][steps]") {
    need_root();
    Config config;
    REQUIRE(config.world.apply(config.step).has_value());
    CHECK_THAT(config.world.check(config.step).value().reason,
               ContainsSubstring("JupyterLab 4.4.1 on jupyter_server 2.16.0"));
    config.installed(R"("jupyterlab":"2.3.2","notebook":"6.4.12")");
    CHECK_FALSE(config.why_due().empty());
    REQUIRE(config.world.apply(config.step).has_value());
    CHECK(config.why_due().empty());
    CHECK_THAT(config.world.content(layout::jupyter_config), ContainsSubstring("NotebookApp"));
}

TEST_CASE("jupyter_config: argon2 before a notebook that cannot read it fails and writes nothing",
          "[unit][steps]") {
    need_root();
    Config config;
    config.installed(R"("jupyterlab":"1.1.4","notebook":"6.0.1")");
    const auto checked = config.world.check(config.step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK(config.world.apply(config.step).has_error());
    CHECK_FALSE(config.world.has(layout::jupyter_config));
    SECTION("and one that it reads is taken") {
        Config salted{"work",
                      Secret{"sha256:" + std::string(16, '0') + ":" + std::string(64, '1')}};
        salted.installed(R"("jupyterlab":"1.1.4","notebook":"6.0.1")");
        REQUIRE(salted.world.apply(salted.step).has_value());
        CHECK(salted.why_due().empty());
    }
}

TEST_CASE("jupyter_config: whatever differs from what is asked for is due", "[unit][steps]") {
    need_root();
    Config config;
    REQUIRE(config.world.apply(config.step).has_value());
    REQUIRE(config.why_due().empty());
    const auto file = config.world.root() / layout::jupyter_config;
    SECTION("the file's content") {
        config.world.put(layout::jupyter_config, "{}\n");
    }
    SECTION("who may read it") {
        REQUIRE(::chmod(file.c_str(), 0644) == 0);
    }
    SECTION("whose it is") {
        REQUIRE(::chown(file.c_str(), 1234, 0) == 0);
    }
    SECTION("the token") {
        config.world.put(layout::front_token, std::string(64, 'b'));
    }
    SECTION("the directory") {
        config.world.commands.when({"test", "-d"}).exits(1);
    }
    CHECK_FALSE(config.why_due().empty());
}

TEST_CASE("jupyter_config: no secret is in its fingerprint, a command or a line", "[unit][steps]") {
    need_root();
    Config config;
    REQUIRE(config.world.apply(config.step).has_value());
    REQUIRE(config.world.check(config.step).has_value());
    const std::string made = config.world.content(layout::front_token);
    std::vector<std::string> said = config.world.context.lines;
    said.push_back(config.step.fingerprint());
    for (const auto& phrase : config.world.context.phrases)
        said.push_back(phrase);
    for (const auto& command : config.world.commands.ran)
        said.push_back(FakeCommands::line(command));
    for (const auto& text : said) {
        CHECK_THAT(text, !ContainsSubstring(made));
        CHECK_THAT(text, !ContainsSubstring(hash().reveal()));
    }
    CHECK(Config("work", Secret{"argon2:other"}).step.fingerprint() != config.step.fingerprint());
}
