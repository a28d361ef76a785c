#include "agent/installers.hpp"
#include "agent/settings.hpp"
#include "agent/settings_rules.hpp"

#include <catch2/catch_test_macros.hpp>

#include <set>
#include <string>
#include <vector>

using namespace agent;

TEST_CASE("installers: every known one comes over https and has a SHA-256 of its own",
          "[unit][settings]") {
    std::set<std::string> urls;
    std::set<std::string> digests;
    REQUIRE(known_installers().size() >= 3);
    for (const Installer& one : known_installers()) {
        CAPTURE(one.name, one.url);
        CHECK_FALSE(one.name.empty());
        CHECK((one.kind == "miniforge" || one.kind == "anaconda"));
        CHECK((one.machine == "x86_64" || one.machine == "aarch64"));
        CHECK(one.url.ends_with("-Linux-" + one.machine + ".sh"));
        CHECK_FALSE(rules::judge_installer(one.url));
        CHECK_FALSE(rules::judge_sha256(one.sha256));
        CHECK(rules::is_anacondas(one.url) == (one.kind == "anaconda"));
        CHECK(urls.insert(one.url).second);
        CHECK(digests.insert(one.sha256).second);
    }
}

TEST_CASE("installers: a kind alone has the installer that is known for this machine",
          "[unit][settings]") {
    const std::vector<ConfigSource> sources{{"a.toml", "[python]\nkind = \"miniforge\"\n"}};
    const Configuration read = read_configuration(sources);
    REQUIRE(read.is_valid());
    const Installer* known = installer_of_kind("miniforge");
    REQUIRE(known);
    CHECK(known->machine == this_machine());
    CHECK(read.settings.python.installer == known->url);
    CHECK(read.settings.python.sha256 == known->sha256);
    CHECK(read.settings.python.prefix == "/opt/miniforge3");
    CHECK(installer_of_kind("venv") == nullptr);
}

TEST_CASE("installers: who names a known one need not repeat its SHA-256", "[unit][settings]") {
    for (const Installer& one : known_installers()) {
        const std::vector<ConfigSource> sources{{"a.toml",
                                                 "[python]\nkind = \"" + one.kind +
                                                     "\"\naccept_terms = true\ninstaller = \"" +
                                                     one.url + "\"\n"}};
        const Configuration read = read_configuration(sources);
        CAPTURE(one.url);
        CHECK(read.is_valid());
        CHECK(read.settings.python.sha256 == one.sha256);
    }
}

TEST_CASE("installers: a later source's SHA-256 counts for an earlier source's installer",
          "[unit][settings]") {
    const std::string known = installer_of_kind("miniforge")->url;
    const std::vector<ConfigSource> sources{
        {"a.toml", "[python]\nkind = \"miniforge\"\ninstaller = \"" + known + "\"\n"},
        {"b.toml", "[python]\nsha256 = \"" + std::string(64, 'A') + "\"\n"}};
    const Configuration read = read_configuration(sources);
    REQUIRE(read.is_valid());
    CHECK(read.settings.python.installer == known);
    CHECK(read.settings.python.sha256 == std::string(64, 'a'));
}

TEST_CASE("installers: what Anaconda's terms are about is told from what is everybody's",
          "[unit][settings]") {
    for (const char* theirs : {"defaults",
                               "main",
                               "r",
                               "pkgs/main",
                               "anaconda",
                               "https://repo.anaconda.com/pkgs/main",
                               "https://REPO.anaconda.com:443/archive/Anaconda3-x.sh",
                               "https://repo.anaconda.cloud/repo/main",
                               "https://conda.anaconda.org/main/",
                               "https://conda.anaconda.org/anaconda"}) {
        CAPTURE(theirs);
        CHECK(rules::is_anacondas(theirs));
    }
    for (const char* others : {"conda-forge",
                               "bioconda",
                               "nvidia",
                               "conda-forge/label/rust_dev",
                               "https://conda.anaconda.org/conda-forge",
                               "https://example.com/repo.anaconda.com",
                               "https://notanaconda.com/main"}) {
        CAPTURE(others);
        CHECK_FALSE(rules::is_anacondas(others));
    }
}
