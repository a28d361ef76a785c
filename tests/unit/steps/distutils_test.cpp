#include "agent/steps/distutils.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <optional>
#include <string>

using namespace agent;

TEST_CASE("distutils: the package in the way is found in what the installers say",
          "[unit][steps]") {
    const auto& [said, package] = GENERATE(table<std::string, std::string>({
        {"error: Unable to uninstall `pyyaml==5.1.2`. distutils-installed distributions do not "
         "include the metadata required to uninstall safely.",
         "pyyaml"},
        {"ERROR: Cannot uninstall 'PyYAML'. It is a distutils installed project and thus we cannot "
         "accurately determine which files belong to it which would lead to only a partial "
         "uninstall.",
         "pyyaml"},
        {"error: uninstall-distutils-installed-package\n\n× Cannot uninstall ruamel.yaml 0.15.46\n"
         "╰─> It is a distutils installed project and thus we cannot accurately determine which "
         "files belong to it which would lead to only a partial uninstall.",
         "ruamel-yaml"},
    }));
    CHECK(distutils_package_in(said) == package);
}

TEST_CASE("distutils: another failure is none of it", "[unit][steps]") {
    CHECK(distutils_package_in("ERROR: Cannot uninstall 'x'. No RECORD file was found") ==
          std::nullopt);
    CHECK(distutils_package_in("ModuleNotFoundError: No module named 'distutils'") == std::nullopt);
    CHECK(distutils_package_in("") == std::nullopt);
}
