#include "agent/steps/python_packages.hpp"
#include "agent/steps/uv_tool.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Environment = std::map<std::string, std::string>;
namespace fs = std::filesystem;

namespace {

constexpr const char* tools = "/var/lib/agent/tools";

// The step that uses uv, on a machine whose package index sends what the test says.
class Machine {
public:
    Machine() {
        world.accounts.add("jupyter");
        fs::create_directories(world.root() / "/run/agent");
        world.commands.when({"pip", "config", "list"}).exits(0);
        world.commands.when({"-m", "pip", "install"}).exits(0);
        world.commands.when({"sync"}).exits(0);
    }
    // What lies in the download directory afterwards is made by `put`, given the file's name.
    void index_sends(const std::function<void(const fs::path&)>& put) {
        world.commands.when({"pip", "download"}).does([put](const Command& command) {
            const auto at = std::find(command.argv.begin(), command.argv.end(), "--dest");
            REQUIRE(at != command.argv.end());
#if defined(__x86_64__)
            put(fs::path{*(at + 1)} /
                "uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl");
#else
            put(fs::path{*(at + 1)} / "uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl");
#endif
        });
    }
    [[nodiscard]] std::string why_not_uv() const {
        for (const std::string& line : world.context.lines)
            if (line.starts_with("using pip instead of uv: "))
                return line;
        return {};
    }

    StepWorld world;
    PythonPackages step{world.ports(), {"jupyter", "/opt/jupyter", {"pandas"}, ""}};
};

} // namespace

TEST_CASE("uv_tool: bytes that are not the pinned ones are not executed, nor kept",
          "[unit][steps]") {
    Machine machine;
    std::string why;
    SECTION("another wheel") {
        machine.index_sends([](const fs::path& path) { std::ofstream{path} << "not uv"; });
        why = "has SHA-256 ";
    }
    SECTION("a link to something of root's") {
        machine.index_sends([](const fs::path& path) { fs::create_symlink("/etc/shadow", path); });
        why = "taking over uv";
    }
    SECTION("a FIFO") {
        machine.index_sends(
            [](const fs::path& path) { REQUIRE(::mkfifo(path.c_str(), 0644) == 0); });
        why = "not a regular file";
    }
    SECTION("nothing") {
        machine.index_sends([](const fs::path&) {});
        why = "taking over uv";
    }
    SECTION("more than a wheel can be") {
        machine.index_sends([](const fs::path& path) {
            std::ofstream{path} << "x";
            fs::resize_file(path, (64 << 20) + 1);
        });
        why = "larger than";
    }
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK_THAT(machine.why_not_uv(), ContainsSubstring(why));
    CHECK(machine.world.commands.all_with("zipfile").empty());
    CHECK(machine.world.commands.all_with("uv").empty());
    CHECK(fs::is_empty(machine.world.root() / tools));
    CHECK(machine.world.commands.all_with("install").back().argv.front() ==
          "/opt/jupyter/bin/python");
}

TEST_CASE("uv_tool: it is fetched by the user's own pip, one wheel and nothing that is built",
          "[unit][steps]") {
    Machine machine;
    machine.index_sends([](const fs::path&) {});
    REQUIRE(machine.world.apply(machine.step).has_value());
    const auto download = machine.world.commands.all_with("download").front();
    REQUIRE(download.as.has_value());
    CHECK(download.as->name == "jupyter");
    for (const std::string word : {"-I", "--no-deps", "--only-binary=:all:", "uv==0.13.9"})
        CHECK(FakeCommands::has_word(download, word));
}

TEST_CASE("uv_tool: one that is in place is used as it is", "[unit][steps]") {
    Machine machine;
    const std::string uv = std::string{tools} + "/uv-0.13.9/uv";
    machine.world.put(uv, "");
    REQUIRE(::chmod((machine.world.root() / uv).c_str(), 0755) == 0);
    machine.world.commands.when({"uv", "pip", "install"}).exits(0);
    REQUIRE(machine.world.apply(machine.step).has_value());
    CHECK(machine.world.commands.all_with("download").empty());
    CHECK(machine.why_not_uv().empty());
}

TEST_CASE("uv_tool: pip's configuration is said in uv's words", "[unit][steps]") {
    struct Row {
        std::string pip;
        Environment uv;
    };
    const auto row =
        GENERATE(Row{"", {}},
                 Row{"global.timeout='60'\nnonsense\n=\n.=\n", {}},
                 Row{"global.index-url='https://a.example.com/simple'\n",
                     {{"UV_DEFAULT_INDEX", "https://a.example.com/simple"}}},
                 Row{"global.index-url=https://a.example.com/simple\n",
                     {{"UV_DEFAULT_INDEX", "https://a.example.com/simple"}}},
                 Row{":env:.index-url='https://a.example.com/simple'\n",
                     {{"UV_DEFAULT_INDEX", "https://a.example.com/simple"}}},
                 Row{"global.extra-index-url='\\nhttps://a.example.com\\nhttps://b.example.com'\n",
                     {{"UV_INDEX", "https://a.example.com https://b.example.com"}}},
                 Row{"global.find-links='/srv/wheels\\nhttps://b.example.com/wheels/'\n",
                     {{"UV_FIND_LINKS", "/srv/wheels,https://b.example.com/wheels/"}}},
                 Row{"global.index-url='https://global.example.com'\n"
                     "install.index-url='https://install.example.com'\n",
                     {{"UV_DEFAULT_INDEX", "https://install.example.com"}}},
                 Row{"global.index-url=''\n", {}});
    CHECK(uv_environment(row.pip).value() == row.uv);
}

TEST_CASE("uv_tool: an index with credentials is left to pip, and they are not repeated",
          "[unit][steps]") {
    const std::string line =
        GENERATE("global.index-url='https://me:geheim@a.example.com/simple'",
                 "global.index-url='https://geheim@a.example.com/simple'",
                 "global.extra-index-url='https://b.example.com\\nhttps://x:geheim@a.example.com'",
                 "global.find-links='https://x:geheim@a.example.com/wheels'");
    const auto environment = uv_environment("global.timeout='60'\n" + line + "\n");
    REQUIRE(environment.has_error());
    CHECK_THAT(environment.error().message, ContainsSubstring("credentials"));
    CHECK(environment.error().message.find("geheim") == std::string::npos);
}

TEST_CASE("uv_tool: an @ in a path is no credential", "[unit][steps]") {
    CHECK(uv_environment("global.index-url='https://a.example.com/@scope/simple'\n").has_value());
}
