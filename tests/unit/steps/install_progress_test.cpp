#include "agent/steps/install_progress.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <optional>
#include <string>

using namespace agent;

TEST_CASE("install_progress: a milestone is known by its opening alone", "[unit][steps]") {
    constexpr std::string_view milestones[] = {"Collecting ", "Solving "};
    CHECK(is_milestone("Solving environment: done", milestones));
    CHECK_FALSE(is_milestone("environment: Solving it", milestones));
    CHECK_FALSE(is_milestone("Solving", milestones));
}

TEST_CASE("install_progress: files and bytes are counted as uv tells of them", "[unit][steps]") {
    InstallProgress progress;
    CHECK(progress.heard("Using Python 3.11.2 environment at: /opt/jupyter") == std::nullopt);
    CHECK(progress.heard("Resolved 100 packages in 881ms") == "Resolved 100 packages in 881ms");
    CHECK(progress.heard("Downloading numpy (16.1MiB)") ==
          "downloaded 0 of 1 large files, 0 MiB of 16 MiB; 100 packages in all");
    CHECK(progress.heard("Downloading tensorflow (1.5GiB)") ==
          "downloaded 0 of 2 large files, 0 MiB of 1552 MiB; 100 packages in all");
    CHECK(progress.heard(" Downloaded numpy") ==
          "downloaded 1 of 2 large files, 16 MiB of 1552 MiB; 100 packages in all");
    CHECK(progress.heard(" Downloaded numpy") == std::nullopt); // once
    CHECK(progress.heard("   Building h2o==3.46") == "Building h2o==3.46");
    CHECK(progress.heard("Prepared 100 packages in 2.67s") == "Prepared 100 packages in 2.67s");
    CHECK(progress.heard(" + anyio==4.16.0") == std::nullopt);
}

TEST_CASE("install_progress: pip's lines and odd sizes are shown as they are", "[unit][steps]") {
    const std::string line =
        GENERATE(as<std::string>{},
                 "Collecting pandas>=2 (from -r requirements.txt (line 1))",
                 "Downloading numpy-1.26.4-cp311-cp311-manylinux_2_17_x86_64.whl (18.3 MB)",
                 "Downloading x (huge)",
                 "Downloading x (99999999.9MiB)",
                 "Downloading x (.MiB)");
    CHECK(InstallProgress{}.heard(line) == line);
}

TEST_CASE("install_progress: a line of any length is shown cut", "[unit][steps]") {
    const auto shown = InstallProgress{}.heard("Resolved " + std::string(64 * 1024, 'x'));
    REQUIRE(shown);
    CHECK(shown->size() <= 123);
    CHECK(InstallProgress{}.heard(std::string(64 * 1024, ' ')) == std::nullopt);
}
