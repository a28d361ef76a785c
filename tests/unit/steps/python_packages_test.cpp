#include "agent/ports/layout.hpp"
#include "agent/steps/python_packages.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

namespace {

constexpr const char* requirements = "/run/agent/requirements.txt";
constexpr const char* uv_place = "/var/lib/agent/tools/uv-0.13.9/uv";

class Packages {
public:
    explicit Packages(Words wanted = {"pandas>=2", "numpy==1.26.4"}, std::string index = {})
        : step{world.ports(), {"jupyter", "/opt/jupyter", std::move(wanted), std::move(index)}} {
        world.accounts.add("jupyter");
        std::filesystem::create_directories(world.root() / "/run/agent");
        world.commands.when({"pip", "config", "list"}).exits(0);
        world.commands.when({"-m", "pip", "install"}).exits(0);
        world.commands.when({"uv", "pip", "install"}).exits(0);
        world.commands.when({"pip", "download"}).exits(1, "", "ERROR: no network\n");
    }
    void installed(const std::string& packages) {
        world.commands.when({"worker", "environment"})
            .exits(0, R"({"exists":true,"python":"3.11.2","packages":{)" + packages + "}}");
    }
    void have_uv() {
        world.put(uv_place, "");
        ::chmod((world.root() / uv_place).c_str(), 0755);
    }
    [[nodiscard]] const Command& last() const { return world.commands.ran.back(); }

    StepWorld world;
    PythonPackages step;
};

CommandOutcome installer_ended(std::variant<Exited, Signaled, TimedOut> status,
                               std::string errors) {
    CommandOutcome outcome;
    outcome.argv = {"/var/lib/agent/tools/uv-0.13.9/uv", "pip", "install"};
    outcome.status = status;
    outcome.error_tail = std::move(errors);
    return outcome;
}

} // namespace

TEST_CASE("python_packages: what is missing or pinned otherwise is due", "[unit][steps]") {
    Packages packages;
    packages.installed(R"("pandas":"2.1.0","NumPy":"1.26.3")");
    CHECK(packages.world.check(packages.step).value().reason == "not installed: numpy==1.26.4");
    packages.installed(R"("NumPy":"1.26.4")");
    CHECK(packages.world.check(packages.step).value().reason == "not installed: pandas>=2");
    packages.installed(R"("pandas":"2.1.0","NumPy":"1.26.4","of_the_user":"7")");
    const auto checked = packages.world.check(packages.step).value();
    CHECK(checked.satisfied);
    CHECK(checked.reason == "3 packages");
}

TEST_CASE("python_packages: what the user changed is left to him until he asks", "[unit][steps]") {
    const std::string changed = R"("pandas":"2.1.0","numpy":"1.26.3")";
    Packages packages;
    packages.world.context.last = packages.step.fingerprint();
    packages.have_uv();
    SECTION("nobody asks: another package that is missing is installed without touching it") {
        packages.installed(changed);
        const auto checked = packages.world.check(packages.step).value();
        CHECK(checked.satisfied);
        CHECK_THAT(checked.reason, ContainsSubstring("numpy==1.26.4"));
        CHECK_THAT(checked.reason, ContainsSubstring("`agent retry python_packages`"));
        REQUIRE(packages.world.apply(packages.step).has_value());
        CHECK(packages.world.content(requirements) == "pandas>=2\n");
    }
    SECTION("he asks: it is installed, and wanting until it is") {
        packages.world.context.asked = true;
        packages.installed(changed);
        CHECK(packages.world.check(packages.step).value().reason == "not installed: numpy==1.26.4");
        REQUIRE(packages.world.apply(packages.step).has_value());
        CHECK(packages.world.content(requirements) == "pandas>=2\nnumpy==1.26.4\n");
        packages.world.context.asked = false;
        CHECK_FALSE(packages.world.check(packages.step).value().satisfied);
    }
}

TEST_CASE("python_packages: a range that changed is resolved anew, an unchanged one is not",
          "[unit][steps]") {
    Packages packages{{"pandas>=2", "numpy"}};
    packages.installed(R"("pandas":"2.1.0","numpy":"1.26.4")");
    CHECK(packages.world.check(packages.step).value().satisfied); // nothing is known of before
    packages.world.context.last = packages.step.fingerprint();
    CHECK(packages.world.check(packages.step).value().satisfied);
    packages.world.context.last = "of other ranges";
    const auto checked = packages.world.check(packages.step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK(checked.reason == "the versions asked for changed");
}

TEST_CASE("python_packages: without ranges the names and pins alone decide", "[unit][steps]") {
    Packages packages{{"pandas", "numpy==1.26.4"}};
    packages.installed(R"("pandas":"2.1.0","numpy":"1.26.4")");
    packages.world.context.last = "of something else";
    CHECK(packages.world.check(packages.step).value().satisfied);
}

TEST_CASE("python_packages: its inputs are the prefix, the index and the wishes in any order",
          "[unit][steps]") {
    const std::string same = Packages{{"a", "b"}}.step.fingerprint();
    CHECK(Packages{{"b", "a"}}.step.fingerprint() == same);
    CHECK(Packages{{"a", "b>1"}}.step.fingerprint() != same);
    CHECK(Packages({"a", "b"}, "https://mirror.example.com/simple").step.fingerprint() != same);
}

TEST_CASE("python_packages: one call of uv gets all the wishes in a file", "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.world.commands.when({"pip", "config", "list"})
        .exits(0, "global.extra-index-url='https://b.example.com/simple'\nglobal.timeout='60'\n");
    REQUIRE(packages.world.apply(packages.step).has_value());

    CHECK(packages.world.content(requirements) == "pandas>=2\nnumpy==1.26.4\n");
    const auto& install = packages.last();
    const std::string uv = (packages.world.root() / uv_place).string();
    const std::string list = (packages.world.root() / requirements).string();
    CHECK(install.argv == Words{uv,
                                "pip",
                                "install",
                                "--no-progress",
                                "--python",
                                "/opt/jupyter/bin/python",
                                "--requirements",
                                list});
    REQUIRE(install.as.has_value());
    CHECK(install.as->name == "jupyter");
    CHECK(install.environment.at("UV_INDEX") == "https://b.example.com/simple");
    CHECK(install.environment.at("UV_PYTHON_DOWNLOADS") == "never");
    CHECK_FALSE(install.environment.contains("UV_DEFAULT_INDEX"));
    CHECK(packages.world.commands.all_with("install").size() == 1);
}

TEST_CASE("python_packages: the configured index beats pip's own", "[unit][steps]") {
    Packages packages{{"pandas"}, "https://mirror.example.com/simple"};
    packages.world.commands.when({"pip", "config", "list"})
        .exits(0, "global.index-url='https://other.example.com/simple'\n");
    SECTION("through uv") {
        packages.have_uv();
        REQUIRE(packages.world.apply(packages.step).has_value());
        CHECK(packages.last().environment.at("UV_DEFAULT_INDEX") ==
              "https://mirror.example.com/simple");
    }
    SECTION("through pip, which fetches uv from there too") {
        REQUIRE(packages.world.apply(packages.step).has_value());
        const std::string option = "--index-url=https://mirror.example.com/simple";
        CHECK(FakeCommands::has_word(packages.world.commands.all_with("download").front(), option));
        CHECK(FakeCommands::has_word(packages.last(), option));
    }
}

TEST_CASE("python_packages: where uv cannot be had pip does it, and the log says why",
          "[unit][steps]") {
    Packages packages;
    REQUIRE(packages.world.apply(packages.step).has_value());
    const auto& install = packages.last();
    CHECK(install.argv.front() == "/opt/jupyter/bin/python");
    for (const std::string word : {"-m", "pip", "install", "--no-input", "--requirement"})
        CHECK(FakeCommands::has_word(install, word));
    CHECK(install.argv.back() == (packages.world.root() / requirements).string());
    const auto& lines = packages.world.context.lines;
    REQUIRE(std::count_if(lines.begin(), lines.end(), [](const std::string& line) {
                return line.starts_with("using pip instead of uv: ");
            }) == 1);
    CHECK(lines.front() == "using pip instead of uv: fetching uv from the package index: python "
                           "exited with status 1: ERROR: no network");
}

TEST_CASE("python_packages: credentials in pip's own configuration stay with pip",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.world.commands.when({"pip", "config", "list"})
        .exits(0, "global.index-url='https://me:geheim@pypi.example.com/simple'\n");
    REQUIRE(packages.world.apply(packages.step).has_value());
    CHECK(packages.last().argv.front() == "/opt/jupyter/bin/python");
    for (const auto& command : packages.world.commands.ran) {
        CHECK(FakeCommands::line(command).find("geheim") == std::string::npos);
        for (const auto& [name, value] : command.environment)
            CHECK(value.find("geheim") == std::string::npos);
    }
    for (const auto& line : packages.world.context.lines)
        CHECK(line.find("geheim") == std::string::npos);
}

TEST_CASE("python_packages: people see the installer's milestones, the log sees the rest",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.world.commands.when({"uv", "pip", "install"})
        .exits(0, "", "Resolved 80 packages in 1.2s\nDownloading numpy\n + numpy==1.26.4\n");
    REQUIRE(packages.world.apply(packages.step).has_value());
    CHECK(packages.world.context.phrases ==
          Words{"resolving with uv", "Resolved 80 packages in 1.2s", "Downloading numpy"});
    CHECK(packages.world.context.lines == Words{" + numpy==1.26.4"});
}

TEST_CASE("python_packages: what the installers say becomes a kind, in their own words",
          "[unit][steps]") {
    struct Row {
        std::string said;
        ErrorKind kind;
        std::string message;
    };
    const auto row = GENERATE(
        Row{"  × No solution found when resolving dependencies:\n"
            "  ╰─▶ Because nosuch-xyz was not found in the package registry and you require\n"
            "      nosuch-xyz, we can conclude that your requirements are unsatisfiable.\n",
            ErrorKind::permanent,
            "uv exited with status 1: Because nosuch-xyz was not found in the package registry and "
            "you require nosuch-xyz, we can "
            "conclude that your requirements are unsatisfiable."},
        Row{"ERROR: Could not find a version that satisfies the requirement nosuch-xyz (from "
            "versions: none)\nERROR: No matching distribution found for nosuch-xyz\n",
            ErrorKind::permanent,
            "No matching distribution found for nosuch-xyz"},
        Row{"ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/\n",
            ErrorKind::permanent,
            "ResolutionImpossible"},
        Row{"error: Request failed after 3 retries\n"
            "  Caused by: Failed to fetch: `https://index.example.com/simple/numpy/`\n"
            "  Caused by: error sending request for url (https://index.example.com/simple/numpy/)\n"
            "  Caused by: dns error: failed to lookup address information\n",
            ErrorKind::transient,
            "dns error"},
        Row{"  × Failed to download `numpy==1.26.4`\n  ├─▶ request timed out\n",
            ErrorKind::transient,
            "Failed to download `numpy==1.26.4` request timed out"},
        Row{"error: Failed to write\n  Caused by: No space left on device (os error 28)\n",
            ErrorKind::permanent,
            "No space left on device"},
        Row{"  × Failed to build `dlib==19.24`\n  │ CMake must be installed\n",
            ErrorKind::permanent,
            "Failed to build `dlib==19.24` CMake must be installed"},
        Row{"", ErrorKind::permanent, "uv exited with status 1"});
    const Error error = installer_error(installer_ended(Exited{1}, row.said));
    CHECK(error.kind == row.kind);
    CHECK_THAT(error.message, ContainsSubstring(row.message));
    CHECK(error.message.find('\n') == std::string::npos);
}

TEST_CASE("python_packages: an installer that was killed or too slow is tried again",
          "[unit][steps]") {
    CHECK(installer_error(installer_ended(Signaled{SIGKILL}, "")).kind == ErrorKind::transient);
    CHECK(installer_error(installer_ended(TimedOut{}, "Resolved 3")).kind == ErrorKind::transient);
}

TEST_CASE("python_packages: an installer's failure is the step's", "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.world.commands.when({"uv", "pip", "install"})
        .exits(1, "", "  × No solution found when resolving dependencies:\n");
    const auto applied = packages.world.apply(packages.step);
    REQUIRE(applied.has_error());
    CHECK_THAT(applied.error().message, ContainsSubstring("installing Python packages: uv exited"));
    CHECK_FALSE(applied.error().next.empty());
}

TEST_CASE("python_packages: the list of wishes that cannot be written starts nothing",
          "[unit][steps]") {
    Packages packages;
    std::filesystem::remove_all(packages.world.root() / "/run/agent");
    CHECK(packages.world.apply(packages.step).has_error());
    CHECK(packages.world.commands.ran.empty());
}

TEST_CASE("python_packages: the installer and who fetches it know the network", "[unit][steps]") {
    Packages packages;
    packages.world.put("/etc/company.pem", "-----BEGIN CERTIFICATE-----\n");
    PythonPackages step{packages.world.ports(),
                        {"jupyter",
                         "/opt/jupyter",
                         {"pandas"},
                         {},
                         {"http://proxy.example.com:3128", {}, "/etc/company.pem"}}};
    const auto knows = [](const Command& command) {
        CHECK(command.environment.at("https_proxy") == "http://proxy.example.com:3128");
        CHECK_THAT(command.environment.at("NO_PROXY"), ContainsSubstring("169.254.169.254"));
        CHECK(command.environment.at("PIP_CERT") == "/etc/company.pem");
        CHECK(command.environment.at("SSL_CERT_FILE") == "/etc/company.pem");
    };
    SECTION("uv") {
        packages.have_uv();
        REQUIRE(packages.world.apply(step).has_value());
        knows(packages.last());
    }
    SECTION("pip") {
        REQUIRE(packages.world.apply(step).has_value());
        knows(packages.world.commands.all_with("download").front());
        knows(packages.last());
    }
}

TEST_CASE("python_packages: a bundle of certificates that is not there is told first",
          "[unit][steps]") {
    Packages packages;
    PythonPackages step{packages.world.ports(),
                        {"jupyter", "/opt/jupyter", {"pandas"}, {}, {"", {}, "/etc/company.pem"}}};
    CHECK(packages.world.apply(step).error().kind == ErrorKind::misconfigured);
    CHECK(packages.world.commands.ran.empty());
}
