#include "agent/ports/documents.hpp"
#include "agent/workers/shell_files.hpp"
#include "tests/support/repository.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
namespace fs = std::filesystem;

namespace {

const std::string conda_block = "# >>> conda initialize >>>\n"
                                "__conda_setup=\"$('/opt/miniforge3/bin/conda' 'shell.bash')\"\n"
                                "# <<< conda initialize <<<\n";
const std::string debians = "case $- in *i*) ;; *) return;; esac\n";

class Home {
public:
    [[nodiscard]] fs::path path() const { return directory_.path(); }
    void put(const std::string& name, const std::string& content) const {
        fs::create_directories((path() / name).parent_path());
        std::ofstream{path() / name} << content;
    }
    [[nodiscard]] std::string content(const std::string& name) const {
        return content_of(path() / name);
    }
    [[nodiscard]] Value seen(const std::string& prefix = "/opt/miniforge3") const {
        std::ostringstream out;
        REQUIRE(look_at_shell_files(path(), prefix, out) == 0);
        return parse_json(out.str()).value();
    }
    void complete(const std::string& prefix = "/opt/miniforge3") const {
        std::ostringstream err;
        REQUIRE(complete_shell_files(path(), prefix, err) == 0);
        CHECK(err.str().empty());
    }

private:
    TempRoot directory_;
};

bool is(const Value& seen, const char* key) {
    return *seen.find(key)->as_bool();
}

} // namespace

TEST_CASE("shell files: conda's block is found, and whose it is", "[unit][workers]") {
    const Home home;
    CHECK(home.seen().string_or("bash", "") == "none");
    home.put(".bashrc", debians + conda_block);
    home.put(".config/fish/config.fish", conda_block);
    CHECK(home.seen().string_or("bash", "") == "here");
    CHECK(home.seen().string_or("fish", "") == "here");
    CHECK(home.seen().string_or("zsh", "") == "none");
    CHECK(home.seen("/opt/anaconda3").string_or("bash", "") == "other");
    CHECK(home.seen("/opt/mini").string_or("bash", "") == "other");
}

TEST_CASE("shell files: commands over ssh find conda in front of where Debian's file ends for them",
          "[unit][workers]") {
    const Home home;
    home.put(".bashrc", debians + conda_block);
    home.put(".profile", ". ~/.bashrc\n");
    ::chmod((home.path() / ".bashrc").c_str(), 0600);
    CHECK_FALSE(is(home.seen(), "commands"));
    CHECK(is(home.seen(), "login"));
    home.complete();
    CHECK(is(home.seen(), "commands"));
    const std::string once = home.content(".bashrc");
    CHECK(once.ends_with(debians + conda_block));
    CHECK(once.find("/opt/miniforge3/condabin") < once.find(debians));
    CHECK((fs::status(home.path() / ".bashrc").permissions() & fs::perms::all) ==
          (fs::perms::owner_read | fs::perms::owner_write));
    const auto written = fs::last_write_time(home.path() / ".bashrc");
    home.complete();
    CHECK(home.content(".bashrc") == once);
    CHECK(fs::last_write_time(home.path() / ".bashrc") == written);
    CHECK(home.content(".profile") == ". ~/.bashrc\n");
    // Another prefix takes its place.
    home.complete("/opt/anaconda3");
    CHECK(home.content(".bashrc").find("/opt/miniforge3/condabin") == std::string::npos);
    CHECK(is(home.seen("/opt/anaconda3"), "commands"));
}

TEST_CASE("shell files: a login reads ~/.bashrc, whichever file it begins with",
          "[unit][workers]") {
    const Home home;
    SECTION("there is none") {
        home.complete();
        CHECK(home.content(".profile").find(".bashrc") != std::string::npos);
    }
    SECTION("one that bash reads instead of .profile") {
        home.put(".profile", ". ~/.bashrc\n");
        home.put(".bash_profile", "export A=1");
        CHECK_FALSE(is(home.seen(), "login"));
        home.complete();
        CHECK(home.content(".bash_profile").starts_with("export A=1\nif "));
        CHECK(home.content(".profile") == ". ~/.bashrc\n");
    }
    CHECK(is(home.seen(), "login"));
}

TEST_CASE("shell files: a link into a repository of the user's stays one", "[unit][workers]") {
    const Home home;
    home.put("dotfiles/bashrc", debians);
    fs::create_symlink(home.path() / "dotfiles/bashrc", home.path() / ".bashrc");
    home.complete();
    CHECK(fs::is_symlink(home.path() / ".bashrc"));
    CHECK(home.content("dotfiles/bashrc").ends_with(debians));
    CHECK(is(home.seen(), "commands"));
}
