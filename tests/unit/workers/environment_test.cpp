#include "agent/ports/documents.hpp"
#include "agent/workers/environment.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
namespace fs = std::filesystem;

namespace {

class Prefix {
public:
    [[nodiscard]] fs::path path() const { return directory_.path() / "prefix"; }
    void put(const std::string& name, const std::string& content = {}) const {
        fs::create_directories((path() / name).parent_path());
        std::ofstream{path() / name} << content;
    }
    void make(const std::string& name) const { fs::create_directories(path() / name); }
    void installed(const std::string& directory) const {
        make("lib/python3.11/site-packages/" + directory);
    }
    // What the worker says of it; always one line.
    [[nodiscard]] Value seen() const {
        std::ostringstream out;
        REQUIRE(environment_worker(path(), out) == 0);
        const std::string text = out.str();
        REQUIRE(std::count(text.begin(), text.end(), '\n') == 1);
        REQUIRE(text.ends_with('\n'));
        return parse_json(text).value();
    }
    [[nodiscard]] std::map<std::string, std::string> packages() const {
        std::map<std::string, std::string> packages;
        const Value value = seen();
        for (const auto& member : *value.find("packages")->as_object())
            packages[member.key] = *member.value.as_string();
        return packages;
    }

private:
    TempRoot directory_;
};

bool exists(const Value& seen) {
    return *seen.find("exists")->as_bool();
}

} // namespace

TEST_CASE("environment worker: where there is nothing it says so", "[unit][workers]") {
    const Prefix prefix;
    const Value seen = prefix.seen();
    CHECK_FALSE(exists(seen));
    CHECK(seen.string_or("python", "?").empty());
    CHECK(prefix.packages().empty());
}

TEST_CASE("environment worker: an interpreter is what can be executed", "[unit][workers]") {
    const Prefix prefix;
    const auto python = prefix.path() / "bin/python";
    SECTION("a program") {
        prefix.put("bin/python");
        REQUIRE(::chmod(python.c_str(), 0755) == 0);
        CHECK(exists(prefix.seen()));
    }
    SECTION("a file that is none") {
        prefix.put("bin/python");
        CHECK_FALSE(exists(prefix.seen()));
    }
    SECTION("a link to an interpreter that is gone") {
        prefix.make("bin");
        fs::create_symlink("/usr/bin/python9.99", python);
        CHECK_FALSE(exists(prefix.seen()));
    }
}

TEST_CASE("environment worker: the version is the venv's own word", "[unit][workers]") {
    struct Row {
        std::string config;
        std::string version;
    };
    const auto row =
        GENERATE(Row{"home = /usr/bin\nversion = 3.11.2\nversion_info = x\n", "3.11.2"},
                 Row{"version=3.9.1", "3.9.1"},
                 Row{"home = /usr/bin\n", ""},
                 Row{"", ""},
                 Row{std::string(100'000, 'x'), ""});
    const Prefix prefix;
    prefix.put("pyvenv.cfg", row.config);
    CHECK(prefix.seen().string_or("python", "?") == row.version);
}

TEST_CASE("environment worker: a FIFO in its way does not hold it up", "[unit][workers]") {
    const Prefix prefix;
    prefix.make(".");
    REQUIRE(::mkfifo((prefix.path() / "pyvenv.cfg").c_str(), 0644) == 0);
    CHECK(prefix.seen().string_or("python", "?").empty());
}

TEST_CASE("environment worker: packages are read from the names of their records",
          "[unit][workers]") {
    const Prefix prefix;
    prefix.installed("numpy-1.26.4.dist-info");
    prefix.installed("torch-2.1.0+cpu.dist-info");
    prefix.installed("ruamel.yaml-0.18.6.dist-info");
    prefix.installed("old_style-1.0-py3.11.egg-info");
    prefix.installed("numpy");
    prefix.installed("broken.dist-info");
    prefix.put("lib/python3.11/site-packages/distutils_precedence.pth");
    prefix.make("lib/other/site-packages/elsewhere-1.0.dist-info");
    CHECK(prefix.packages() == std::map<std::string, std::string>{{"numpy", "1.26.4"},
                                                                  {"torch", "2.1.0+cpu"},
                                                                  {"ruamel.yaml", "0.18.6"},
                                                                  {"old_style", "1.0"}});
}

TEST_CASE("environment worker: names that are no text still make JSON", "[unit][workers]") {
    const Prefix prefix;
    prefix.installed("\xff\"\n-1.0.dist-info");
    CHECK(prefix.packages().size() == 1);
}

TEST_CASE("environment: what conda made says its packages by the names in conda-meta",
          "[unit][workers]") {
    const Prefix prefix;
    for (const char* name : {"python-3.7.4-h265db76_1.json",
                             "conda-4.7.12-py37_0.json",
                             "_libgcc_mutex-0.1-main.json",
                             "ca-certificates-2019.8.28-0.json",
                             "history",
                             "nonsense.json",
                             "-.json"})
        prefix.put(std::string{"conda-meta/"} + name, "not read");
    prefix.put("bin/conda");
    Value seen = prefix.seen();
    CHECK(seen.string_or("python", "") == "3.7.4");
    CHECK_FALSE(*seen.find("has_conda")->as_bool());
    CHECK_FALSE(*seen.find("venv")->as_bool());
    REQUIRE(seen.find("conda")->as_object()->size() == 4);
    CHECK(seen.find("conda")->string_or("ca-certificates", "") == "2019.8.28");
    CHECK(seen.find("conda")->string_or("_libgcc_mutex", "") == "0.1");
    fs::permissions(prefix.path() / "bin/conda", fs::perms::owner_all);
    prefix.put("pyvenv.cfg", "version = 3.11.2\n");
    seen = prefix.seen();
    CHECK(*seen.find("has_conda")->as_bool());
    CHECK(*seen.find("venv")->as_bool());
    CHECK(seen.string_or("python", "") == "3.11.2");
}

TEST_CASE("environment worker: the kernels that Jupyter offers from there, and what each starts",
          "[unit][workers]") {
    const Prefix prefix;
    const std::string kernels = "share/jupyter/kernels/";
    prefix.put(kernels + "old/kernel.json",
               R"({"argv":["/opt/jupyter-envs/old/bin/python","-m","ipykernel_launcher"]})");
    prefix.put(kernels + "cut/kernel.json", R"({"argv":["/opt)");
    prefix.put(kernels + "none/kernel.json", R"({"argv":[]})");
    prefix.put(kernels + "odd/kernel.json", R"({"argv":[7]})");
    prefix.put(kernels + "large/kernel.json", std::string(100'000, ' '));
    prefix.make(kernels + "empty");
    const Value seen = prefix.seen();
    const Value::Object& found = *seen.find("kernels")->as_object();
    REQUIRE(found.size() == 1);
    CHECK(found.front().key == "old");
    CHECK(*found.front().value.as_string() == "/opt/jupyter-envs/old/bin/python");
}
