#include "agent/commands/check.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <fstream>
#include <sstream>
#include <string>

using agent::check_command;

namespace {

struct Files {
    agent::test::TempRoot root;

    std::filesystem::path add(const std::string& name, const std::string& text) const {
        std::ofstream{root.path() / name} << text;
        return root.path() / name;
    }
};

} // namespace

TEST_CASE("check: a valid file is said to be valid, with what it would make", "[unit][commands]") {
    const Files files;
    const auto file = files.add("a.toml",
                                "schema = 1\n[python]\npackages = [\"pandas\"]\n[apt]\n"
                                "packages = [\"curl\", \"git\"]\n");
    std::ostringstream out;
    std::ostringstream err;
    CHECK(check_command({{file}}, out, err) == 0);
    CHECK(out.str() == file.string() +
                           ": valid\n"
                           "  user jupyter, 1 Python package in /opt/jupyter, 2 apt packages, "
                           "JupyterLab on port 8888 (no password_hash: reached only from the VM "
                           "itself)\n");
    CHECK(err.str().empty());
}

TEST_CASE("check: every error of every file is shown, and one bad file is enough",
          "[unit][commands]") {
    const Files files;
    const auto good = files.add("good.toml", "schema = 1\n");
    const auto bad = files.add("bad.toml", "[jupyter]\nprot = 8888\nport = 22\n");
    const auto none = files.root.path() / "none.toml";
    std::ostringstream out;
    std::ostringstream err;
    CHECK(check_command({{bad, good, none}}, out, err) == 1);
    CHECK(out.str().starts_with(good.string() + ": valid\n"));
    CHECK(err.str() ==
          "error[E1204]: unknown key `jupyter.prot`\n"
          "  --> " +
              bad.string() +
              ":2:1\n"
              "   |\n"
              " 2 | prot = 8888\n"
              "   | ^^^^ not a key of [jupyter]\n"
              "   = hint: did you mean `port`? keys of [jupyter]: allow_sudo, directory,\n"
              "           interface, password_hash, port\n"
              "\n"
              "error[E1205]: `jupyter.port`: expected 443 or 1024 to 65535, found 22\n"
              "  --> " +
              bad.string() +
              ":3:8\n"
              "   |\n"
              " 3 | port = 22\n"
              "   |        ^^ not a port for Jupyter\n"
              "   = hint: 22 is SSH's\n"
              "\n" +
              bad.string() +
              ": 2 errors\n"
              "error[E1006]: it cannot be read: No such file or directory\n"
              "  --> " +
              none.string() + "\n\n" + none.string() + ": 1 error\n");
}

TEST_CASE("check: each file is checked for itself", "[unit][commands]") {
    const Files files;
    const auto one = files.add("one.toml", "schema = 1\n");
    const auto empty = files.add("empty.toml", "# nothing\n");
    std::ostringstream out;
    std::ostringstream err;
    CHECK(check_command({{one, empty}}, out, err) == 1);
    CHECK(err.str().find("error[E1001]") != std::string::npos);
}
