#include "agent/ports/bucket.hpp"
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
#include <optional>
#include <string>
#include <vector>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

namespace {

constexpr const char* requirements = "/run/agent/requirements.txt";
constexpr const char* work_mark = "/opt/.jupyter.agent-python_packages";
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
        world.commands.when({"sync"}).exits(0);
        world.commands.when({"worker", "account"})
            .exits(0, write_account(std::optional<ServiceAccount>{}) + "\n");
        std::filesystem::create_directories(world.root() / "/opt");
    }
    void installed(const std::string& packages) {
        world.commands.when({"worker", "environment"})
            .exits(0, R"({"exists":true,"python":"3.11.2","packages":{)" + packages + "}}");
    }
    // What the worker reads in the requirements file.
    void file(const std::string& entries, bool hashed = false) {
        world.commands.when({"worker", "requirements", "/etc/r.txt"})
            .exits(0,
                   R"({"state":"read","sha256":"of the file","hashed":)" +
                       std::string{hashed ? "true" : "false"} + R"(,"entries":[)" + entries + "]}");
    }
    [[nodiscard]] PythonPackages with_file(Words wanted,
                                           std::vector<PythonPackages::Index> indexes = {}) {
        PythonPackages::Wish wish{"jupyter", "/opt/jupyter", std::move(wanted), {}};
        wish.requirements_file = "/etc/r.txt";
        wish.indexes = std::move(indexes);
        return {world.ports(), std::move(wish)};
    }
    // The same of an object of a bucket.
    void object(const std::string& entries, const std::string& sha256 = "of the object") {
        world.commands.when({"worker", "bucket"}).exits(0, write_answer("the text") + "\n");
        world.commands.when({"worker", "requirements", "-"})
            .exits(0,
                   R"({"state":"read","sha256":")" + sha256 + R"(","hashed":false,"entries":[)" +
                       entries + "]}");
    }
    [[nodiscard]] PythonPackages with_object(Words wanted) {
        PythonPackages::Wish wish{"jupyter", "/opt/jupyter", std::move(wanted), {}};
        wish.requirements_file = "gs://my-bucket/r.txt";
        return {world.ports(), std::move(wish)};
    }
    void have_uv() {
        world.put(uv_place, "");
        ::chmod((world.root() / uv_place).c_str(), 0755);
    }
    // What installed, last.
    [[nodiscard]] Command last() const { return world.commands.all_with("install").back(); }

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
    const auto install = packages.last();
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
    const auto install = packages.last();
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
        Row{"WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, "
            "status=None)) after connection broken by 'NewConnectionError('<HTTPSConnection>: "
            "Failed to establish a new connection: [Errno -3] Temporary failure in name "
            "resolution')': /simple/numpy/\n"
            "ERROR: Could not find a version that satisfies the requirement numpy (from versions: "
            "none)\nERROR: No matching distribution found for numpy\n",
            ErrorKind::transient,
            "Temporary failure in name resolution"},
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

TEST_CASE("python_packages: an installer that lacked memory is tried again, and says what to do",
          "[unit][steps]") {
    auto ended = installer_ended(Signaled{SIGKILL}, "");
    ended.killed_for_memory = 1;
    const Error killed = installer_error(ended);
    CHECK(killed.kind == ErrorKind::transient);
    CHECK(killed.message ==
          "uv was killed by SIGKILL, out of memory (memory.events: oom_kill rose by 1)");
    CHECK(killed.next == next_for_lack_of_memory);
    // A compiler that it had started.
    ended.status = Exited{1};
    CHECK(installer_error(ended).kind == ErrorKind::transient);
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

TEST_CASE("python_packages: what an installation has written is on the disk before it counts",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    bool marked = false;
    packages.world.commands.when({"uv", "pip", "install"}).exits(0).does([&](const Command&) {
        marked = packages.world.has(work_mark);
    });
    REQUIRE(packages.world.apply(packages.step).has_value());
    CHECK(marked);
    CHECK(FakeCommands::line(packages.world.commands.ran.back()) ==
          "/usr/bin/sync --file-system -- /opt/jupyter");
    CHECK_FALSE(packages.world.has(work_mark));
}

TEST_CASE("python_packages: an installation that was cut short is made again from the index",
          "[unit][steps]") {
    Packages packages;
    packages.installed(R"("pandas":"2.1.0","numpy":"1.26.4")");
    SECTION("with uv, whose cache is as little believed") {
        packages.have_uv();
        packages.world.commands.when({"uv", "pip", "install"}).is_killed(9);
        packages.world.commands.when({"uv", "cache", "clean"}).exits(0);
        REQUIRE(packages.world.apply(packages.step).has_error());
        CHECK(packages.world.commands.all_with("clean").empty());
        CHECK_FALSE(FakeCommands::has_word(packages.last(), "--reinstall"));

        const auto checked = packages.world.check(packages.step).value();
        CHECK_FALSE(checked.satisfied);
        CHECK(checked.reason == "an installation was cut short: packages may be incomplete");
        packages.world.commands.when({"uv", "pip", "install"}).exits(0);
        REQUIRE(packages.world.apply(packages.step).has_value());
        const auto emptied = packages.world.commands.all_with("clean");
        REQUIRE(emptied.size() == 1);
        CHECK(emptied.front().as->name == "jupyter");
        CHECK(FakeCommands::has_word(packages.last(), "--reinstall"));
        CHECK(packages.world.check(packages.step).value().satisfied);
    }
    SECTION("with pip") {
        packages.world.put(work_mark, "");
        REQUIRE(packages.world.apply(packages.step).has_value());
        CHECK(FakeCommands::has_word(packages.last(), "--ignore-installed"));
        CHECK(FakeCommands::has_word(packages.last(), "--no-cache-dir"));
        CHECK(packages.world.check(packages.step).value().satisfied);
    }
    SECTION("until one has succeeded") {
        packages.world.put(work_mark, "");
        packages.world.commands.when({"-m", "pip", "install"}).exits(1, "", "ERROR: timed out\n");
        REQUIRE(packages.world.apply(packages.step).has_error());
        CHECK_FALSE(packages.world.check(packages.step).value().satisfied);
        REQUIRE(packages.world.apply(packages.step).has_error());
        CHECK(FakeCommands::has_word(packages.last(), "--ignore-installed"));
    }
}

TEST_CASE("python_packages: an installer that ended of itself has left nothing half done",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.world.commands.when({"uv", "pip", "install"}).exits(2, "", "error: timed out\n");
    REQUIRE(packages.world.apply(packages.step).has_error());
    CHECK_FALSE(packages.world.has(work_mark));
    packages.world.commands.when({"uv", "pip", "install"}).exits(0);
    REQUIRE(packages.world.apply(packages.step).has_value());
    CHECK_FALSE(FakeCommands::has_word(packages.last(), "--reinstall"));
}

TEST_CASE("python_packages: what a file asks for is looked for, and its content is an input",
          "[unit][steps]") {
    Packages packages;
    packages.file(R"({"line":1,"requirement":"six==1.16.0","text":"six==1.16.0"})");
    auto step = packages.with_file({"pandas"});
    packages.installed(R"("pandas":"2.1.0")");
    CHECK(packages.world.check(step).value().reason == "not installed: six==1.16.0");
    const std::string first = step.fingerprint();
    packages.world.commands.when({"worker", "requirements", "/etc/r.txt"})
        .exits(0, R"({"state":"read","sha256":"of another","hashed":false,"entries":[]})");
    CHECK(packages.world.check(step).value().satisfied);
    CHECK(step.fingerprint() != first);
}

TEST_CASE("python_packages: a file that cannot be taken is told with its line", "[unit][steps]") {
    struct Row {
        std::string seen;
        std::string message;
    };
    const auto row =
        GENERATE(Row{R"({"state":"absent"})", "there is no /etc/r.txt"},
                 Row{R"({"state":"refused","line":7,"problem":"not so"})", "/etc/r.txt:7: not so"},
                 Row{R"({"state":"refused","file":"/etc/b.txt","line":2,"problem":"no"})",
                     "/etc/b.txt:2: no"},
                 Row{R"({"state":"refused","problem":"Permission denied"})",
                     "/etc/r.txt: Permission denied"});
    Packages packages;
    packages.world.commands.when({"worker", "requirements"}).exits(0, row.seen);
    auto step = packages.with_file({"pandas"});
    const auto checked = packages.world.check(step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(checked.error().message, ContainsSubstring(row.message));
    CHECK_FALSE(checked.error().next.empty());
}

TEST_CASE("python_packages: a lock file's hashes are demanded of all that it names",
          "[unit][steps]") {
    const std::string entry =
        R"({"line":1,"requirement":"six==1.16.0","text":"six==1.16.0 --hash=sha256:aa"})";
    Packages packages;
    packages.file(entry, true);
    packages.installed(R"("six":"1.16.0","pandas":"3")");
    SECTION("uv, and nothing beside the file") {
        packages.have_uv();
        auto step = packages.with_file({"six"});
        REQUIRE(packages.world.apply(step).has_value());
        CHECK_THAT(FakeCommands::line(packages.last()),
                   ContainsSubstring("--requirements /etc/r.txt --require-hashes"));
        CHECK_FALSE(packages.world.has(requirements));
    }
    SECTION("uv, and something beside it: one resolution, and it is said") {
        packages.have_uv();
        auto step = packages.with_file({"six", "pandas"});
        REQUIRE(packages.world.apply(step).has_value());
        CHECK_FALSE(FakeCommands::has_word(packages.last(), "--require-hashes"));
        CHECK(FakeCommands::has_word(packages.last(), "/etc/r.txt"));
        CHECK(packages.world.content(requirements) == "pandas\n");
        CHECK(packages.world.check(step).value().reason ==
              "2 packages; not in the lock file, so without a hash: pandas");
    }
    SECTION("pip: what has no hash comes after what has one, and keeps to it") {
        auto step = packages.with_file({"pandas"});
        REQUIRE(packages.world.apply(step).has_value());
        const auto installs = packages.world.commands.all_with("install");
        REQUIRE(installs.size() == 2);
        CHECK_THAT(FakeCommands::line(installs[0]),
                   ContainsSubstring("--requirement /etc/r.txt --require-hashes"));
        CHECK_FALSE(FakeCommands::has_word(installs[1], "/etc/r.txt"));
        CHECK(FakeCommands::has_word(installs[1], "--constraint"));
        CHECK(packages.world.content("/run/agent/locked.txt") == "six==1.16.0\n");
    }
}

TEST_CASE("python_packages: an index of its own is asked for its packages alone", "[unit][steps]") {
    const std::vector<PythonPackages::Index> indexes{
        {"torch-cpu", "https://i.example/whl/cpu", {"torch", "not-asked-for"}}};
    PythonPackages::Wish wish{
        "jupyter", "/opt/jupyter", {"pandas", "Torch[x]>=2; os_name == 'posix'"}, {}};
    wish.indexes = indexes;
    Packages packages;
    PythonPackages step{packages.world.ports(), wish};
    SECTION("uv is told in the one form that it takes") {
        packages.have_uv();
        REQUIRE(packages.world.apply(step).has_value());
        const std::string place = "/run/agent/indexes/pyproject.toml";
        CHECK(FakeCommands::has_word(packages.last(), (packages.world.root() / place).string()));
        CHECK(packages.world.content(place) ==
              "[project]\nname = \"agent-environment\"\nversion = \"0\"\n"
              "dependencies = [\"torch\"]\n"
              "[[tool.uv.index]]\nname = \"torch-cpu\"\nurl = \"https://i.example/whl/cpu\"\n"
              "explicit = true\n"
              "[tool.uv.sources]\ntorch = { index = \"torch-cpu\" }\n");
        for (const auto& command : packages.world.commands.ran)
            CHECK_FALSE(command.environment.contains("UV_INDEX"));
    }
    SECTION("pip, which would ask every index for everything, gets the wheel beforehand") {
        packages.world.commands.when({"pip", "download", "--index-url=https://i.example/whl/cpu"})
            .exits(0, "Saved ./torch-2.1.0+cpu-cp37-cp37m-linux_x86_64.whl\n");
        REQUIRE(packages.world.apply(step).has_value());
        const auto fetched = packages.world.commands.all_with("download").back();
        CHECK(fetched.argv.back() == "Torch[x]>=2");
        CHECK(FakeCommands::has_word(fetched, "--no-deps"));
        CHECK(packages.world.content(requirements) ==
              "pandas\nTorch[x] @ file:///var/lib/agent/scratch/python_packages/"
              "torch-2.1.0+cpu-cp37-cp37m-linux_x86_64.whl ; os_name == 'posix'\n");
        CHECK_THAT(FakeCommands::line(packages.last()), !ContainsSubstring("i.example"));
    }
}

TEST_CASE("python_packages: a Python that uv does not take is pip's, and both log and status say "
          "why",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.world.commands.when({"worker", "environment"})
        .exits(0, R"({"exists":true,"python":"3.7.4","packages":{}})");
    CHECK_FALSE(packages.world.check(packages.step).value().satisfied);
    REQUIRE(packages.world.apply(packages.step).has_value());
    CHECK(packages.last().argv.front() == "/opt/jupyter/bin/python");
    packages.world.commands.when({"worker", "environment"})
        .exits(0, R"({"exists":true,"python":"3.7.4","packages":{"pandas":"2","numpy":"1.26.4"}})");
    CHECK_THAT(packages.world.check(packages.step).value().reason,
               ContainsSubstring("through pip: uv needs Python 3.8 or newer, and this is 3.7.4"));
}

TEST_CASE("python_packages: what distutils put in the way is set aside by the user, and said",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    int runs = 0;
    packages.world.commands.when({"uv", "pip", "install"})
        .exits(1,
               "",
               "error: Unable to uninstall `pyyaml==5.1.2`. distutils-installed distributions do "
               "not include the metadata required to uninstall safely.\n");
    packages.world.commands.when({"-I", "-c"}).exits(0, "PyYAML 5.1.2\n").does([&](const Command&) {
        if (++runs == 2)
            packages.world.commands.when({"uv", "pip", "install"}).exits(0);
    });
    REQUIRE(packages.world.apply(packages.step).has_value());
    CHECK(runs == 2);
    const auto moved = packages.world.commands.all_with("-c").front();
    CHECK(moved.argv.back() == "pyyaml");
    CHECK(moved.as->name == "jupyter");
    packages.installed(R"("pandas":"2","numpy":"1.26.4")");
    CHECK_THAT(packages.world.check(packages.step).value().reason,
               ContainsSubstring("replaced PyYAML 5.1.2, which distutils had installed; it lies in "
                                 "/opt/jupyter/.replaced now"));
}

TEST_CASE("python_packages: a package that is always in the way does not go on for ever",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.world.commands.when({"uv", "pip", "install"})
        .exits(1, "", "error: Unable to uninstall `x==1`. distutils-installed distributions\n");
    packages.world.commands.when({"-I", "-c"}).exits(0, "x 1\n");
    REQUIRE(packages.world.apply(packages.step).has_error());
    CHECK(packages.world.commands.all_with("-c").size() == 20);
}

TEST_CASE("python_packages: an unknown package is named with who asks for it and the nearest name",
          "[unit][steps]") {
    struct Row {
        std::string said;
        std::string message;
        std::string next;
    };
    const auto row = GENERATE(
        Row{"error: No solution found when resolving dependencies\n"
            "  cause: Because panda was not found in the package registry and you require panda, "
            "we can conclude that your requirements are unsatisfiable.\n",
            "there is no package panda on the package index, which [python] packages asks for: ",
            "did you mean pandas? correct [python] in the configuration"},
        Row{"ERROR: Could not find a version that satisfies the requirement numpyy==1 (from "
            "versions: none)\nERROR: No matching distribution found for numpyy==1\n",
            "there is no package numpyy on the package index, which /etc/parts/b.txt:3 asks for: ",
            "did you mean numpy? correct /etc/parts/b.txt:3"},
        Row{"  cause: Because qqqqqqq was not found in the package registry and x==1 depends on "
            "qqqqqqq, No solution found\n",
            "there is no package qqqqqqq on the package index: ",
            "correct [python] in the configuration"});
    Packages packages;
    packages.have_uv();
    packages.file(R"({"file":"/etc/parts/b.txt","line":3,"requirement":"numpyy==1","text":"x"})");
    packages.world.commands.when({"uv", "pip", "install"}).exits(1, "", row.said);
    auto step = packages.with_file({"panda"});
    const auto applied = packages.world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::permanent);
    CHECK_THAT(applied.error().message, ContainsSubstring(row.message));
    CHECK(applied.error().next == row.next);
}

TEST_CASE("python_packages: another hash than the lock file's is never tried again",
          "[unit][steps]") {
    const std::string said = GENERATE(as<std::string>{},
                                      "error: Failed to download `six==1.16.0`\n  cause: Hash "
                                      "mismatch for `six==1.16.0`\n",
                                      "           sha256:00\n\n         Computed:\n"
                                      "           sha256:aa\n",
                                      "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE "
                                      "REQUIREMENTS FILE.\n");
    const Error error = installer_error(installer_ended(Exited{1}, said));
    CHECK(error.kind == ErrorKind::permanent);
    CHECK_THAT(error.next, ContainsSubstring("lock file"));
    CHECK(error.message.size() < 1000);
}

TEST_CASE("python_packages: two environments at once write nothing of each other's",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    PythonPackages::Wish wish{"jupyter", "/opt/jupyter-envs/old", {"six"}, {}};
    wish.environment = "old";
    PythonPackages step{packages.world.ports(), wish};
    REQUIRE(packages.world.apply(step).has_value());
    CHECK(packages.world.content("/run/agent/old-requirements.txt") == "six\n");
    CHECK_FALSE(packages.world.has(requirements));
    CHECK(packages.last().environment.at("TMPDIR") == "/var/lib/agent/scratch/environment-old");
}

TEST_CASE("python_packages: constraints that a file includes hold for what of it is installed, and "
          "are an input",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    const auto reads = [&](const std::string& sha256) {
        packages.world.commands.when({"worker", "requirements", "/etc/r.txt"})
            .exits(
                0,
                R"({"state":"read","hashed":false,"constraints":["/etc/parts/c.txt"],"sha256":")" +
                    sha256 +
                    R"(","entries":[{"line":1,"requirement":"six==1","text":"six==1"},)"
                    R"({"line":2,"requirement":"idna","text":"idna"}]})");
    };
    reads("one");
    packages.installed(R"("six":"1","idna":"3.4")");
    auto first = packages.with_file({});
    CHECK(packages.world.check(first).value().satisfied);
    packages.world.context.last = first.fingerprint();

    packages.installed(R"("six":"2")");
    auto step = packages.with_file({});
    CHECK(packages.world.check(step).value().reason == "not installed: idna");
    REQUIRE(packages.world.apply(step).has_value());
    CHECK(packages.world.content("/run/agent/requirements-of-file.txt") ==
          "idna\n-c /etc/parts/c.txt\n");

    reads("another");
    packages.installed(R"("six":"1","idna":"3.4")");
    CHECK(packages.world.check(step).value().reason == "the versions asked for changed");
    CHECK(packages.world.commands.all_with("--constraints").empty()); // no file of constraints
}

TEST_CASE("python_packages: a locked version that the user changed is left to him, the rest of the "
          "file is installed",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.file(R"({"line":1,"requirement":"six==1.16.0","text":"six==1.16.0 --hash=sha256:aa"},)"
                  R"({"line":2,"requirement":"idna==3.4","text":"idna==3.4 --hash=sha256:bb"})",
                  true);
    packages.installed(R"("six":"1.16.0","idna":"3.4")");
    auto first = packages.with_file({});
    CHECK(packages.world.check(first).value().satisfied);
    packages.world.context.last = first.fingerprint();

    packages.installed(R"("six":"1.17.0")");
    auto step = packages.with_file({});
    CHECK(packages.world.check(step).value().reason == "not installed: idna==3.4");
    REQUIRE(packages.world.apply(step).has_value());
    const std::string rest = "/run/agent/requirements-of-file.txt";
    CHECK(packages.world.content(rest) == "idna==3.4 --hash=sha256:bb\n");
    CHECK(FakeCommands::has_word(packages.last(), (packages.world.root() / rest).string()));
    CHECK_FALSE(FakeCommands::has_word(packages.last(), "/etc/r.txt"));
}

namespace {

const std::string numpy_entry =
    R"({"line":3,"requirement":"numpy==1.26.4","text":"numpy==1.26.4"})";

} // namespace

TEST_CASE("python_packages: an object of a bucket is installed from the copy that is kept of it",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.object(numpy_entry);
    packages.installed("");
    auto step = packages.with_object({});
    CHECK(packages.world.check(step).value().reason == "not installed: numpy==1.26.4");
    REQUIRE(packages.world.apply(step).has_value());
    CHECK(packages.world.commands.all_with("bucket").size() == 1);
    CHECK(packages.world.commands.all_with("requirements").back().input == "the text");
    const std::string copy = packages.last().argv.back();
    CHECK_THAT(copy, ContainsSubstring("/var/lib/agent/bucket-files/"));
    CHECK_THAT(copy, ContainsSubstring("-python_packages-requirements.txt"));
    CHECK(std::filesystem::exists(copy));
}

TEST_CASE("python_packages: another text of the object is another input", "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.installed(R"("numpy":"1.26.4")");
    packages.object(numpy_entry);
    auto before = packages.with_object({});
    // Even where all is there: what was read is kept with it.
    CHECK(packages.world.check(before).value().reason ==
          "gs://my-bucket/r.txt is another than was installed last");
    CHECK_FALSE(packages.world.has("/var/lib/agent/bucket-files"));
    REQUIRE(packages.world.apply(before).has_value());
    CHECK(packages.world.check(before).value().satisfied);
    auto again = packages.with_object({});
    CHECK(packages.world.check(again).value().satisfied);
    CHECK(again.fingerprint() == before.fingerprint());

    packages.object(numpy_entry, "of another text");
    packages.world.commands.when({"worker", "bucket"}).exits(0, write_answer("another") + "\n");
    auto after = packages.with_object({});
    CHECK_FALSE(packages.world.check(after).value().satisfied);
    CHECK(before.fingerprint() != after.fingerprint());
}

TEST_CASE("python_packages: a bucket that does not answer yet is asked by who installs",
          "[unit][steps]") {
    Packages packages;
    packages.installed("");
    packages.world.commands.when({"worker", "bucket"})
        .exits(0, write_answer(transient("reading gs://my-bucket/r.txt: no answer")) + "\n");
    auto step = packages.with_object({});
    const auto checked = packages.world.check(step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK_THAT(checked.reason, ContainsSubstring("[python] requirements: reading gs://"));
    const auto applied = packages.world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::transient);
    CHECK(packages.world.commands.all_with("install").empty());
}

TEST_CASE("python_packages: a bucket that may not be read is said before anything is done",
          "[unit][steps]") {
    Packages packages;
    packages.installed("");
    packages.world.commands.when({"worker", "bucket"})
        .exits(0, write_answer(permanent("reading gs://my-bucket/r.txt: refused", "grant")) + "\n");
    auto step = packages.with_object({});
    const auto checked = packages.world.check(step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().message ==
          "[python] requirements: reading gs://my-bucket/r.txt: refused");
    CHECK(checked.error().next == "grant");
}

TEST_CASE("python_packages: a machine that has everything goes by what was read last",
          "[unit][steps]") {
    Packages packages;
    packages.have_uv();
    packages.object(numpy_entry);
    packages.installed("");
    auto first = packages.with_object({});
    REQUIRE(packages.world.apply(first).has_value());
    packages.world.commands.when({"worker", "bucket"})
        .exits(0, write_answer(misconfigured("there is no such object")) + "\n");
    packages.installed(R"("numpy":"1.26.4")");
    auto later = packages.with_object({});
    const auto checked = packages.world.check(later).value();
    CHECK(checked.satisfied);
    CHECK(checked.reason == "1 packages; going by what was read last: there is no such object");
    CHECK(later.fingerprint() == first.fingerprint());
    // What is missing is not installed from a list that may be out of date.
    packages.installed("");
    auto lacking = packages.with_object({});
    CHECK_FALSE(packages.world.check(lacking).value().satisfied);
    CHECK(packages.world.apply(lacking).has_error());
}

TEST_CASE("python_packages: what is wrong in an object is said with its line", "[unit][steps]") {
    Packages packages;
    packages.world.commands.when({"worker", "bucket"}).exits(0, write_answer("-r x") + "\n");
    packages.world.commands.when({"worker", "requirements", "-"})
        .exits(0, R"({"state":"refused","line":3,"problem":"it is no requirement"})");
    auto step = packages.with_object({});
    const auto checked = packages.world.check(step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK(checked.error().message ==
          "[python] requirements: gs://my-bucket/r.txt:3: it is no requirement");
    CHECK_THAT(checked.error().next, ContainsSubstring("put it there again"));
}
