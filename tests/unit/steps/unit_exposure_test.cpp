// What `systemd-analyze security` finds in the units as they are on a machine: the shipped file and
// the drop-in that its step writes.

#include "agent/ports/layout.hpp"
#include "agent/steps/front.hpp"
#include "agent/steps/jupyter_unit.hpp"
#include "agent/steps/tls_certificate.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>

using namespace agent;
using namespace agent::test;

namespace {

// Ten times the exposure level; 100 is what any program may do, 96 a daemon of root's.
bool is_at_most(int exposure, const StepWorld& world, const std::string& unit) {
    const auto place = (world.root() / layout::unit_directory) / unit;
    std::filesystem::create_directories(place.parent_path());
    std::filesystem::copy_file(std::filesystem::path{UNITS} / unit, place);
    // What it finds is shown where it is too much.
    const std::string command = "systemd-analyze security --no-pager --offline=true --threshold=" +
                                std::to_string(exposure) + " '" + place.string() + "'";
    return std::system((command + " >/dev/null 2>&1").c_str()) == 0 ||
           std::system(command.c_str()) == 0;
}

class Jupyter {
public:
    Jupyter(Sudo sudo, const std::string& groups, const std::string& named)
        : step{world.ports(), "jupyter", "/opt/jupyter/bin/jupyter-lab", {}, sudo} {
        world.accounts.add("jupyter").gid = 995;
        world.put(layout::jupyter_config, "{}\n");
        world.commands.when({"id", "--groups"}).exits(0, groups);
        world.commands.when({"getent", "group"}).exits(0, named);
        world.services.units[layout::jupyter_unit].active = "failed";
        // The unit is written before it is waited for; that it does not come up is of no concern
        // here.
        CHECK(world.apply(step).has_error());
    }

    StepWorld world;
    JupyterUnit step;
};

} // namespace

TEST_CASE("exposure: notebooks are fenced in", "[unit][units]") {
    const Jupyter jupyter{Sudo::kept_out, "995", "jupyter:x:995:\n"};
    CHECK(is_at_most(25, jupyter.world, layout::jupyter_unit));
}

TEST_CASE("exposure: leaving powerful groups costs the one capability for it", "[unit][units]") {
    const Jupyter jupyter{Sudo::kept_out, "995 4", "adm:x:4:jupyter\n"};
    CHECK(is_at_most(27, jupyter.world, layout::jupyter_unit));
}

TEST_CASE("exposure: where sudo is allowed, what sudo does not need is not", "[unit][units]") {
    const Jupyter jupyter{Sudo::allowed, "", ""};
    CHECK(is_at_most(70, jupyter.world, layout::jupyter_unit));
}

TEST_CASE("exposure: the front can do next to nothing", "[unit][units]") {
    StepWorld world;
    world.accounts.add("jupyter");
    TlsCertificate certificate{world.ports(), "vm", {"localhost"}};
    REQUIRE(world.apply(certificate).has_value());
    Front front{world.ports(), "jupyter", 8888, Reach::everywhere};
    world.services.units[layout::front_unit].active = "failed";
    world.commands.when({"ss"}).exits(0);
    CHECK(world.apply(front).has_error());
    CHECK(is_at_most(15, world, layout::front_unit));
}
