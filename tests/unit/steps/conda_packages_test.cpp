#include "agent/ports/bucket.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/steps/conda_packages.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <optional>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* work_mark = "/opt/.miniforge3.agent-conda_packages";

class Packages {
public:
    Packages() {
        world.accounts.add("ada");
        sees(R"({"conda":"26.3.2","python":"3.12.1"})");
        world.commands.when({"conda"}).exits(0);
        world.commands.when({"mamba"}).exits(0);
        world.commands.when({"sync"}).exits(0);
        world.commands.when({"worker", "account"})
            .exits(0, write_account(std::optional<ServiceAccount>{}) + "\n");
        wish.user = "ada";
        wish.prefix = "/opt/miniforge3";
        wish.environment = "/opt/miniforge3";
        wish.packages = {"numpy=1.26", "gdal>=3.8"};
    }
    // What conda has there.
    void sees(const std::string& conda, const std::string& packages = "{}") {
        world.commands.when({"worker", "environment"})
            .exits(0,
                   R"({"exists":true,"has_conda":true,"packages":)" + packages + R"(,"conda":)" +
                       conda + "}");
    }
    Result<StepCheck> check() {
        CondaPackages step{world.ports(), wish};
        return world.check(step);
    }
    Result<void> apply() {
        CondaPackages step{world.ports(), wish};
        return world.apply(step);
    }
    [[nodiscard]] std::string installation() const {
        return FakeCommands::line(world.commands.all_with("install").back());
    }

    StepWorld world;
    CondaPackages::Wish wish;
};

} // namespace

TEST_CASE("conda packages: what is there in a version that is wanted is enough", "[unit][steps]") {
    Packages packages;
    packages.sees(R"({"numpy":"1.26.4","gdal":"3.9.0"})");
    CHECK(packages.check().value().reason == "2 packages of conda's");
    packages.sees(R"({"gdal":"3.9.0"})");
    CHECK(packages.check().value().reason == "not installed: numpy=1.26");
    packages.world.put(work_mark, "x");
    packages.sees(R"({"numpy":"1.26.4","gdal":"3.9.0"})");
    CHECK_THAT(packages.check().value().reason, ContainsSubstring("cut short"));
}

TEST_CASE("conda packages: a pip that pip itself brought is a pip", "[unit][steps]") {
    Packages packages;
    packages.wish.packages = {"pip"};
    CHECK_FALSE(packages.check().value().satisfied);
    packages.sees(R"({"conda":"26.3.2"})", R"({"pip":"24.0"})");
    CHECK(packages.check().value().satisfied);
}

TEST_CASE("conda packages: another version than the pin is the user's until he asks",
          "[unit][steps]") {
    Packages packages;
    packages.sees(R"({"numpy":"2.0.0","gdal":"3.9.0"})");
    CHECK_FALSE(packages.check().value().satisfied);
    packages.world.context.last =
        CondaPackages{packages.world.ports(), packages.wish}.fingerprint();
    const auto left = packages.check().value();
    CHECK(left.satisfied);
    CHECK_THAT(left.reason, ContainsSubstring("`agent retry conda_packages` changes that"));
    packages.world.context.asked = true;
    CHECK_FALSE(packages.check().value().satisfied);
}

TEST_CASE("conda packages: one call for all, as the user, from the channels that are named alone",
          "[unit][steps]") {
    Packages packages;
    packages.wish.channels = {"conda-forge", "bioconda"};
    packages.wish.network = {"http://proxy:1", {}, {}};
    REQUIRE(packages.apply().has_value());
    CHECK(packages.world.commands.all_with("install").size() == 1);
    CHECK(packages.installation() ==
          "/opt/miniforge3/bin/conda install --yes --prefix /opt/miniforge3 --override-channels "
          "--channel conda-forge --channel bioconda numpy=1.26 gdal>=3.8");
    const auto command = packages.world.commands.all_with("install").back();
    REQUIRE(command.as.has_value());
    CHECK(command.as->name == "ada");
    CHECK(command.environment.at("HTTPS_PROXY") == "http://proxy:1");
    CHECK_FALSE(command.environment.contains("CONDA_PLUGINS_AUTO_ACCEPT_TOS"));
    CHECK_FALSE(packages.world.has(work_mark));
}

TEST_CASE("conda packages: terms are accepted for conda only where the user has accepted them",
          "[unit][steps]") {
    Packages packages;
    packages.wish.terms = Terms::accepted;
    REQUIRE(packages.apply().has_value());
    CHECK(packages.world.commands.all_with("install").back().environment.at(
              "CONDA_PLUGINS_AUTO_ACCEPT_TOS") == "yes");
}

TEST_CASE("conda packages: what was there before stays as it is, unless he asks", "[unit][steps]") {
    Packages packages;
    packages.world.context.last = "an earlier one";
    REQUIRE(packages.apply().has_value());
    CHECK_THAT(packages.installation(), ContainsSubstring(" --freeze-installed "));
    packages.world.context.asked = true;
    REQUIRE(packages.apply().has_value());
    CHECK_THAT(packages.installation(), !ContainsSubstring("--freeze-installed"));
}

TEST_CASE("conda packages: the quickest resolver that is there is taken", "[unit][steps]") {
    struct Row {
        std::string conda;
        std::string line;
    };
    for (const auto& [conda, line] :
         {Row{R"({"conda":"23.10.0"})", "/bin/conda install --yes --prefix /opt/miniforge3 numpy"},
          Row{R"({"conda":"23.1.0","conda-libmamba-solver":"23.1.0"})", " --solver=libmamba"},
          Row{R"({"conda":"4.10.3","mamba":"0.16.0"})", "/bin/mamba install "},
          Row{R"({"conda":"4.7.12"})", "/bin/conda install "}}) {
        Packages packages;
        packages.sees(conda);
        REQUIRE(packages.apply().has_value());
        CHECK_THAT(packages.installation(), ContainsSubstring(line));
        const auto& said = packages.world.context.lines;
        const bool classic = std::any_of(said.begin(), said.end(), [](const std::string& one) {
            return one.find("the classic resolver alone") != std::string::npos;
        });
        CHECK(classic == (conda == R"({"conda":"4.7.12"})"));
    }
}

TEST_CASE("conda packages: an environment.yml is installed when it is new or has changed",
          "[unit][steps]") {
    Packages packages;
    packages.wish.packages = {};
    packages.wish.environment_file = "/srv/environment.yml";
    packages.world.commands.when({"sha256sum"}).exits(0, "abc  /srv/environment.yml\n");
    CHECK_THAT(packages.check().value().reason, ContainsSubstring("is not installed yet"));
    REQUIRE(packages.apply().has_value());
    const auto update = packages.world.commands.all_with("env").back();
    CHECK(FakeCommands::line(update) == "/opt/miniforge3/bin/conda env update --prefix "
                                        "/opt/miniforge3 --file /srv/environment.yml");
    CHECK(packages.world.commands.all_with("install").empty());
    CHECK(packages.check().value().satisfied);
    packages.world.commands.when({"sha256sum"}).exits(0, "def  /srv/environment.yml\n");
    CHECK_THAT(packages.check().value().reason, ContainsSubstring("has changed"));
    packages.world.commands.when({"sha256sum"})
        .exits(1, "", "sha256sum: /srv/environment.yml: No such file or directory\n");
    const auto gone = packages.check();
    REQUIRE(gone.has_error());
    CHECK(gone.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(gone.error().message, ContainsSubstring("as ada"));
}

TEST_CASE("conda packages: an environment that is absent is made with all of them",
          "[unit][steps]") {
    Packages packages;
    packages.wish.environment = "/opt/miniforge3/envs/old";
    packages.world.commands.when({"worker", "environment", "/opt/miniforge3/envs/old"})
        .exits(0, R"({"exists":false})");
    REQUIRE(packages.apply().has_value());
    CHECK(FakeCommands::line(packages.world.commands.all_with("create").back()) ==
          "/opt/miniforge3/bin/conda create --yes --prefix /opt/miniforge3/envs/old numpy=1.26 "
          "gdal>=3.8");
}

TEST_CASE("conda packages: an installation that was killed is made again in full",
          "[unit][steps]") {
    Packages packages;
    packages.world.commands.when({"conda"}).is_killed(9);
    REQUIRE(packages.apply().has_error());
    CHECK(packages.world.has(work_mark));
    packages.world.commands.when({"conda"}).exits(0);
    REQUIRE(packages.apply().has_value());
    CHECK_THAT(packages.installation(), ContainsSubstring(" --force-reinstall "));
    CHECK_FALSE(packages.world.has(work_mark));
}

TEST_CASE("conda packages: a conda that gave up by itself has left nothing half done",
          "[unit][steps]") {
    Packages packages;
    packages.world.commands.when({"conda"}).exits(1, "", "PackagesNotFoundError: x\n");
    REQUIRE(packages.apply().has_error());
    CHECK_FALSE(packages.world.has(work_mark));
}

TEST_CASE("conda packages: conda's words say what follows from them", "[unit][steps]") {
    struct Row {
        std::string words;
        ErrorKind kind;
        std::string told;
    };
    for (const auto& [words, kind, told] :
         {Row{"Solving environment: failed\nPackagesNotFoundError: The following packages are not "
              "available from current channels:\n  - numpyy\n",
              ErrorKind::permanent,
              "numpyy"},
          Row{"LibMambaUnsatisfiableError: Encountered problems while solving:\n  - nothing "
              "provides "
              "requested nope\n",
              ErrorKind::permanent,
              "nothing provides requested nope"},
          Row{"CondaToSNonInteractiveError: Terms of Service have not been accepted for the "
              "following channels.\n",
              ErrorKind::misconfigured,
              "Terms of Service"},
          Row{"CondaHTTPError: HTTP 000 CONNECTION FAILED for url <https://x>\n",
              ErrorKind::transient,
              "CONNECTION FAILED"},
          Row{"[Errno 28] No space left on device\n", ErrorKind::permanent, "No space left"}}) {
        CommandOutcome outcome;
        outcome.argv = {"/opt/miniforge3/bin/conda"};
        outcome.status = Exited{1};
        outcome.error_tail = words;
        const Error error = conda_error(outcome);
        CAPTURE(words, error.message);
        CHECK(error.kind == kind);
        CHECK_THAT(error.message, ContainsSubstring(told));
        CHECK(error.next.empty() == (kind == ErrorKind::transient));
    }
}

TEST_CASE("conda packages: an environment.yml of a bucket is installed from the copy kept of it",
          "[unit][steps]") {
    Packages packages;
    packages.wish.packages.clear();
    packages.wish.environment_file = "gs://my-bucket/environment.yml";
    packages.world.commands.when({"worker", "bucket"}).exits(0, write_answer("a: 1\n") + "\n");
    CHECK(packages.check().value().reason == "gs://my-bucket/environment.yml is not installed yet");
    CHECK_FALSE(packages.world.has("/var/lib/agent/bucket-files"));
    REQUIRE(packages.apply().has_value());
    const auto update = packages.world.commands.all_with("update").back();
    const std::string copy = update.argv[6];
    CHECK(update.argv[5] == "--file");
    CHECK_THAT(copy, ContainsSubstring("-conda_packages-environment.yml"));
    CHECK(packages.world.content("/opt/.miniforge3.agent-environment_file") ==
          sha256_hex("a: 1\n") + "\n");
    CHECK(packages.check().value().satisfied);
    CHECK(packages.world.commands.all_with("sha256sum").empty());

    packages.world.commands.when({"worker", "bucket"}).exits(0, write_answer("b: 1\n") + "\n");
    CHECK(packages.check().value().reason == "gs://my-bucket/environment.yml has changed");
    packages.world.commands.when({"worker", "bucket"})
        .exits(0, write_answer(transient("reading it: no answer")) + "\n");
    const auto checked = packages.check().value();
    CHECK(checked.satisfied);
    CHECK_THAT(checked.reason, ContainsSubstring("going by what was read last: reading it: no"));
    CHECK(packages.apply().error().message == "[python] environment_file: reading it: no answer");
}
