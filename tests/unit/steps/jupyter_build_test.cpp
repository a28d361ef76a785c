#include "agent/steps/jupyter_build.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <map>
#include <string>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

namespace {

using Packages = std::map<std::string, std::string>;

Result<JupyterBuild> built(const std::string& interface, Packages packages) {
    Environment environment;
    environment.exists = true;
    environment.packages = std::move(packages);
    return jupyter_build(interface, environment, "/opt/jupyter");
}

constexpr const char* argon2 = "argon2:$argon2id$v=19$m=10240,t=10,p=8$c2FsdA$aGFzaA";

} // namespace

TEST_CASE("jupyter_build: the versions decide dialect, socket and hashes", "[unit][steps]") {
    using enum JupyterDialect;
    using enum SocketBinding;
    struct Row {
        std::string interface;
        Packages packages;
        JupyterDialect dialect;
        SocketBinding binding;
        bool reads_argon2;
        std::string name;
    };
    const auto row = GENERATE(
        Row{"notebook", {{"notebook", "5.7.8"}}, notebook_app, by_agent, false, "notebook 5.7.8"},
        Row{"notebook", {{"notebook", "6.0.3"}}, notebook_app, by_agent, false, "notebook 6.0.3"},
        Row{"notebook", {{"notebook", "6.1"}}, notebook_app, by_jupyter, true, "notebook 6.1"},
        Row{"notebook",
            {{"notebook", "6.1.0rc1"}},
            notebook_app,
            by_jupyter,
            true,
            "notebook 6.1.0rc1"},
        // jupyter_server is there for nbclassic, and is not what runs.
        Row{"notebook",
            {{"notebook", "6.5.7"}, {"jupyter-server", "2.14.0"}},
            notebook_app,
            by_jupyter,
            true,
            "notebook 6.5.7"},
        Row{"notebook",
            {{"notebook", "7.0.0"}, {"jupyter-server", "2.15.0"}},
            server_2,
            by_jupyter,
            true,
            "notebook 7.0.0 on jupyter_server 2.15.0"},
        // Anaconda 2019.10.
        Row{"jupyterlab",
            {{"jupyterlab", "1.1.4"}, {"notebook", "6.0.1"}},
            notebook_app,
            by_agent,
            false,
            "JupyterLab 1.1.4 on notebook 6.0.1"},
        Row{"jupyterlab",
            {{"jupyterlab", "2.3.2"}, {"notebook", "6.4.12"}},
            notebook_app,
            by_jupyter,
            true,
            "JupyterLab 2.3.2 on notebook 6.4.12"},
        Row{"jupyterlab",
            {{"jupyterlab", "3.0.0"}, {"jupyter-server", "1.23.3"}, {"notebook", "6.0.3"}},
            server_1,
            by_jupyter,
            true,
            "JupyterLab 3.0.0 on jupyter_server 1.23.3"},
        Row{"jupyterlab",
            {{"jupyterlab", "3.6.7"}, {"jupyter-server", "2.0.0"}},
            server_2,
            by_jupyter,
            true,
            "JupyterLab 3.6.7 on jupyter_server 2.0.0"},
        Row{"jupyterlab",
            {{"jupyterlab", "4.4.1"}, {"jupyter-server", "2.20.0"}, {"notebook", "6.0.3"}},
            server_2,
            by_jupyter,
            true,
            "JupyterLab 4.4.1 on jupyter_server 2.20.0"});
    INFO(row.name);
    const auto build = built(row.interface, row.packages).value();
    CHECK(build.dialect == row.dialect);
    CHECK(build.binding == row.binding);
    CHECK(build.reads_argon2 == row.reads_argon2);
    CHECK(build.name == row.name);
    CHECK(build.is_lab == (row.interface == "jupyterlab"));
}

TEST_CASE("jupyter_build: a notebook is kept from the threads of a client that came after it",
          "[unit][steps]") {
    struct Row {
        std::string interface;
        Packages packages;
        bool needs;
    };
    const auto row = GENERATE(
        Row{"notebook", {{"notebook", "6.4.12"}, {"jupyter-client", "8.10.0"}}, true},
        Row{"notebook", {{"notebook", "6.1.6"}, {"jupyter-client", "8.0.1"}}, true},
        Row{"jupyterlab",
            {{"jupyterlab", "2.3.2"}, {"notebook", "6.4.12"}, {"jupyter-client", "8.10.0"}},
            true},
        Row{"notebook", {{"notebook", "6.4.12"}, {"jupyter-client", "7.4.9"}}, false},
        Row{"notebook", {{"notebook", "6.4.12"}}, false},
        // It has none to be kept by.
        Row{"notebook", {{"notebook", "6.0.3"}, {"jupyter-client", "8.10.0"}}, false},
        // These have it for a default.
        Row{"notebook",
            {{"notebook", "7.4.0"}, {"jupyter-server", "2.16.0"}, {"jupyter-client", "8.10.0"}},
            false},
        Row{"jupyterlab",
            {{"jupyterlab", "3.6.8"}, {"jupyter-server", "1.24.0"}, {"jupyter-client", "8.10.0"}},
            false});
    CHECK(built(row.interface, row.packages).value().needs_async_kernels == row.needs);
}

TEST_CASE("jupyter_build: what is not there is said with the step that installs it",
          "[unit][steps]") {
    const auto row = GENERATE(Packages{{"notebook", "6.0.3"}},   // another interface
                              Packages{{"jupyterlab", "1.1.4"}}, // without its notebook
                              Packages{{"jupyterlab", "4.4.1"}, {"notebook", "6.0.3"}});
    const auto refused = built("jupyterlab", row);
    REQUIRE(refused.has_error());
    CHECK(refused.error().kind == ErrorKind::permanent);
    CHECK_THAT(refused.error().message, ContainsSubstring("/opt/jupyter"));
    CHECK_THAT(refused.error().next, ContainsSubstring("agent retry python_packages"));
}

TEST_CASE("jupyter_build: what would not start, or was never tried, is refused before it",
          "[unit][steps]") {
    struct Row {
        std::string interface;
        Packages packages;
        std::string says;
    };
    const auto row =
        GENERATE(Row{"notebook", {{"notebook", "5.4.0"}}, "older than notebook 5.7"},
                 Row{"notebook", {{"notebook", "no version"}}, "older than notebook 5.7"},
                 Row{"jupyterlab",
                     {{"jupyterlab", "2.3.2"}, {"notebook", "7.0.0"}, {"jupyter-server", "2.0.0"}},
                     "made of the notebook before 7"});
    const auto refused = built(row.interface, row.packages);
    REQUIRE(refused.has_error());
    CHECK(refused.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(refused.error().message, ContainsSubstring(row.says));
    CHECK_FALSE(refused.error().next.empty());
}

TEST_CASE("jupyter_build: argon2 is an error only where it would not be understood",
          "[unit][steps]") {
    const auto old = built("notebook", {{"notebook", "6.0.3"}}).value();
    const auto later = built("notebook", {{"notebook", "6.4.12"}}).value();
    CHECK(reads_password(later, argon2).has_value());
    CHECK(reads_password(old, "sha256:0011223344556677:00").has_value());
    CHECK(reads_password(old, "").has_value());
    const auto refused = reads_password(old, argon2);
    REQUIRE(refused.has_error());
    CHECK(refused.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(refused.error().message, ContainsSubstring("notebook 6.0.3"));
    CHECK_THAT(refused.error().message, !ContainsSubstring("aGFzaA"));
    CHECK_THAT(refused.error().next, ContainsSubstring("agent password --for notebook-6.0"));
}
