#include "agent/steps/kernel.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

struct Offer {
    Offer() {
        world.accounts.add("jupyter");
        world.commands.when({"-m", "ipykernel", "install"}).exits(0);
        kernels("");
    }
    void kernels(const std::string& found) {
        world.commands.when({"worker", "environment"})
            .exits(0,
                   R"({"exists":true,"python":"3.11.2","packages":{},"kernels":{)" + found + "}}");
    }
    StepWorld world;
    Kernel step{world.ports(), {"jupyter", "old", "/opt/jupyter-envs/old", "/opt/jupyter"}};
};

} // namespace

TEST_CASE("kernel: it is there when Jupyter starts the environment's Python by it",
          "[unit][steps]") {
    Offer offer;
    CHECK(offer.world.check(offer.step).value().reason == "Jupyter does not offer old");
    offer.kernels(R"("old":"/opt/jupyter-envs/old/bin/python","r":"/usr/bin/R")");
    CHECK(offer.world.check(offer.step).value().satisfied);
}

TEST_CASE("kernel: another's kernel of the name is the user's, and stays", "[unit][steps]") {
    Offer offer;
    offer.kernels(R"("old":"/home/jupyter/mine/bin/python")");
    const auto checked = offer.world.check(offer.step);
    REQUIRE(checked.has_error());
    CHECK(checked.error().kind == ErrorKind::misconfigured);
    CHECK_THAT(checked.error().message, ContainsSubstring("/home/jupyter/mine/bin/python"));
}

TEST_CASE("kernel: the environment's own ipykernel writes it, as the user", "[unit][steps]") {
    Offer offer;
    REQUIRE(offer.world.apply(offer.step).has_value());
    const auto install = offer.world.commands.all_with("ipykernel").back();
    CHECK(FakeCommands::line(install) ==
          "/opt/jupyter-envs/old/bin/python -I -m ipykernel install --prefix=/opt/jupyter "
          "--name=old --display-name=old (Python 3.11)");
    CHECK(install.as->name == "jupyter");
}
