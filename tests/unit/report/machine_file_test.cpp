#include "agent/ports/layout.hpp"
#include "agent/report/machine_file.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <filesystem>
#include <fstream>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;

namespace {

MachineCard a_card() {
    MachineCard card;
    card.name = "vm-1";
    card.project = "example-project";
    card.zone = "europe-west1-b";
    card.network = "default";
    card.tags = {"jupyter", "web"};
    card.has_external_address = true;
    card.port = 443;
    card.reach = Reach::everywhere;
    card.landing = "tree";
    card.user = "ada";
    card.prefix = "/opt/jupyter";
    card.directory = "work";
    card.variables = {{"https_proxy", "http://proxy:3128"}, {"no_proxy", "localhost"}};
    return card;
}

struct stat seen(const std::filesystem::path& path) {
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status;
}

} // namespace

TEST_CASE("machine file: what was written is read, by anybody", "[unit][report]") {
    const TempRoot directory;
    std::filesystem::create_directories(directory.root() / layout::runtime_directory);
    CHECK_FALSE(read_machine_card(directory.root()));
    for (const auto& card : {a_card(), MachineCard{}}) {
        REQUIRE(write_machine_card(directory.root(), card).has_value());
        CHECK(read_machine_card(directory.root()) == card);
    }
    CHECK((seen(directory.root() / layout::machine_file).st_mode & 07777U) == 0644U);
}

TEST_CASE("machine file: what is the same is not written again", "[unit][report]") {
    const TempRoot directory;
    std::filesystem::create_directories(directory.root() / layout::runtime_directory);
    for (const char* file : {layout::machine_file, layout::public_certificate}) {
        REQUIRE(write_machine_card(directory.root(), a_card()).has_value());
        REQUIRE(publish_certificate(directory.root(), "a certificate").has_value());
        const auto before = seen(directory.root() / file);
        REQUIRE(write_machine_card(directory.root(), a_card()).has_value());
        REQUIRE(publish_certificate(directory.root(), "a certificate").has_value());
        CHECK(seen(directory.root() / file).st_ino == before.st_ino);
    }
}

TEST_CASE("machine file: what is no card of this schema is none", "[unit][report]") {
    const TempRoot directory;
    std::filesystem::create_directories(directory.root() / layout::runtime_directory);
    std::ofstream{directory.root() / layout::machine_file}
        << GENERATE(as<std::string>{},
                    "",
                    "[]",
                    "{}",
                    R"({"schema":2,"port":8888})",
                    R"({"schema":1,"port":70000})",
                    R"({"schema":1,"port":"8888"})");
    CHECK_FALSE(read_machine_card(directory.root()));
}
