#include "agent/steps/disk_space.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr std::uint64_t gb = 1'000'000'000;

FileSystem file_system(std::uint64_t free, std::uint64_t reserved = 0, dev_t id = 1) {
    FileSystem made;
    made.id = id;
    made.bytes = 10 * gb;
    made.free_bytes = free + reserved;
    made.free_bytes_of_users = free;
    made.inodes = 640'000;
    made.free_inodes = 500'000;
    return made;
}

SpaceDemand demand(Payer payer, std::uint64_t least, std::uint64_t usual) {
    return {"/opt/jupyter", payer, {least, 1000}, {usual, 2000}, "2 Python packages"};
}

const BootDisk boot_disk{"vm-1", "europe-west1-b"};

// A machine with file systems as the test says, on which nothing is installed yet.
class Machine {
public:
    Machine() {
        world.commands.when({"dpkg-query"}).exits(1);
        world.commands.when({"worker", "environment"})
            .exits(0, R"({"exists": false, "python": "", "packages": {}})");
    }
    [[nodiscard]] DiskSpace step() {
        return {world.ports(),
                {"jupyter", {"python3-venv"}, environments, boot_disk},
                [this](const std::filesystem::path& path) -> Result<FileSystem> {
                    const std::string name =
                        "/" + path.lexically_relative(world.root() / "/").string();
                    for (const auto& [mount, found] : mounted)
                        if (name.starts_with(mount))
                            return found;
                    return root;
                }};
    }

    StepWorld world;
    FileSystem root = file_system(9 * gb);
    std::map<std::string, FileSystem> mounted;
    std::vector<DiskSpace::PythonEnvironment> environments{{"/opt/jupyter", {"jupyterlab"}}};
};

// What is asked for in all, at the least, of a disk that has nothing free.
std::string least(Machine& machine) {
    machine.root = file_system(0);
    auto step = machine.step();
    const std::string message = machine.world.apply(step).error().message;
    const auto at = message.find("at least ");
    return message.substr(at, message.find(" are needed") - at);
}

} // namespace

TEST_CASE("disk_space: enough, tight and too little", "[unit][steps]") {
    const auto judge = [](const FileSystem& found) {
        return judge_space({demand(Payer::user, 1 * gb, 3 * gb)}, found, &boot_disk);
    };
    CHECK(judge(file_system(4 * gb)).value() ==
          "4.0 GB of 10.0 GB are free to users at /opt/jupyter");
    CHECK(judge(file_system(2 * gb)).value() ==
          "tight: 2.0 GB of 10.0 GB are free to users at /opt/jupyter, usually 3.0 GB are needed");
    const auto small = judge(file_system(gb / 2));
    REQUIRE(small.has_error());
    CHECK(small.error().kind == ErrorKind::permanent);
    CHECK(small.error().message ==
          "the disk is too small: 500 MB of 10.0 GB are free to users at /opt/jupyter, at least "
          "1.0 GB and usually 3.0 GB are needed there for 2 Python packages");
    CHECK_THAT(small.error().next,
               ContainsSubstring("gcloud compute disks resize vm-1 --zone=europe-west1-b "
                                 "--size=20GB") &&
                   ContainsSubstring("as they boot"));
}

TEST_CASE("disk_space: what is reserved for root is root's alone", "[unit][steps]") {
    const FileSystem found = file_system(gb / 2, gb);
    CHECK(judge_space({demand(Payer::root, gb, gb)}, found, &boot_disk).has_value());
    CHECK(judge_space({demand(Payer::user, gb, gb)}, found, &boot_disk).has_error());
    CHECK(judge_space({demand(Payer::root, gb / 2, gb / 2), demand(Payer::user, gb / 2, gb / 2)},
                      found,
                      nullptr)
              .has_error());
}

TEST_CASE("disk_space: files need inodes, where they are counted", "[unit][steps]") {
    FileSystem found = file_system(9 * gb);
    found.free_inodes = 999;
    const auto judged = judge_space({demand(Payer::user, 1, 1)}, found, &boot_disk);
    REQUIRE(judged.has_error());
    CHECK_THAT(judged.error().message,
               ContainsSubstring("999 of 640000 inodes") && ContainsSubstring("at least 1000"));
    found.inodes = found.free_inodes = 0;
    CHECK(judge_space({demand(Payer::user, 1, 1)}, found, &boot_disk).has_value());
}

TEST_CASE("disk_space: another disk than the boot disk is called so", "[unit][steps]") {
    const auto judged = judge_space({demand(Payer::user, gb, gb)}, file_system(0), nullptr);
    CHECK_THAT(judged.error().next, !ContainsSubstring("gcloud"));
    const BootDisk unknown;
    CHECK_THAT(judge_space({demand(Payer::user, gb, gb)}, file_system(0), &unknown).error().next,
               ContainsSubstring("gcloud compute disks resize DISK --zone=ZONE"));
}

TEST_CASE("disk_space: heavy packages are known by name", "[unit][steps]") {
    Machine machine;
    const auto needed = [&](std::vector<std::string> requirements) {
        machine.environments = {{"/opt/jupyter", std::move(requirements)}};
        return least(machine);
    };
    CHECK(needed({"torch>=2"}) == "at least 786 MB and usually 5.8 GB");
    CHECK(needed({"TensorFlow==2.16.1"}) == "at least 1.9 GB and usually 2.6 GB");
    CHECK(needed({"requests"}) == "at least 188 MB and usually 655 MB");
    CHECK(needed({"requests", "pandas"}) == "at least 190 MB and usually 765 MB");
}

TEST_CASE("disk_space: a disk with room is told with what is free", "[unit][steps]") {
    Machine machine;
    auto step = machine.step();
    const auto checked = machine.world.check(step).value();
    CHECK(checked.satisfied);
    CHECK(checked.reason == "9.0 GB of 10.0 GB are free to users at /usr");
    CHECK(machine.world.commands.ran.empty()); // whatever is there already
}

TEST_CASE("disk_space: a disk without is due, and its Error says what to do", "[unit][steps]") {
    Machine machine;
    machine.root = file_system(gb / 10);
    auto step = machine.step();
    const auto checked = machine.world.check(step).value();
    CHECK_FALSE(checked.satisfied);
    CHECK_THAT(checked.reason, ContainsSubstring("too small"));
    const auto applied = machine.world.apply(step);
    REQUIRE(applied.has_error());
    CHECK(applied.error().kind == ErrorKind::permanent);
    CHECK_THAT(applied.error().message,
               ContainsSubstring("1 Debian package, uv, 1 Python package"));
    CHECK_THAT(applied.error().next, ContainsSubstring("gcloud compute disks resize vm-1"));

    machine.root = file_system(9 * gb);
    CHECK(machine.world.apply(step).has_value());
    CHECK(machine.world.check(step).value().satisfied);
}

TEST_CASE("disk_space: a machine that has everything needs none", "[unit][steps]") {
    Machine machine;
    machine.world.accounts.add("jupyter");
    machine.world.commands.when({"dpkg-query"}).exits(0, "python3-venv\tii \t3.11.2\n");
    machine.world.commands.when({"worker", "environment"})
        .exits(0, R"({"exists": true, "python": "3.11.2", "packages": {"jupyterlab": "4.3.1"}})");
    machine.root = file_system(0);
    auto step = machine.step();
    const auto checked = machine.world.check(step).value();
    CHECK(checked.satisfied);
    CHECK(checked.reason == "nothing is to be fetched");
}

TEST_CASE("disk_space: each file system is judged for what comes onto it", "[unit][steps]") {
    Machine machine;
    SECTION("the prefix's") {
        machine.mounted["/opt"] = file_system(gb / 20, 0, 2);
        auto step = machine.step();
        const auto applied = machine.world.apply(step);
        REQUIRE(applied.has_error());
        CHECK_THAT(applied.error().message,
                   ContainsSubstring("at /opt/jupyter") && !ContainsSubstring("Debian"));
        CHECK_THAT(applied.error().next, !ContainsSubstring("gcloud"));
    }
    SECTION("the home's, which gets a copy of what is fetched") {
        machine.mounted["/home"] = file_system(gb / 20, 0, 2);
        auto step = machine.step();
        CHECK_THAT(machine.world.apply(step).error().message, ContainsSubstring("at /home"));
    }
    SECTION("/var's") {
        machine.mounted["/var"] = file_system(gb / 20, 0, 2);
        auto step = machine.step();
        CHECK_THAT(machine.world.apply(step).error().message,
                   ContainsSubstring("at /var/lib/apt/lists"));
    }
}

TEST_CASE("disk_space: without Python only apt's packages need room", "[unit][steps]") {
    Machine machine;
    DiskSpace step{
        machine.world.ports(),
        {"jupyter", {"git"}, {}, {}},
        [](const std::filesystem::path&) -> Result<FileSystem> { return file_system(gb / 10); }};
    CHECK_THAT(machine.world.check(step).value().reason, ContainsSubstring("tight: 100 MB"));
    CHECK(machine.world.commands.all_with("environment").empty());
}

TEST_CASE("disk_space: conda's installer is counted as its file, twice, and what comes of it",
          "[unit][steps]") {
    Machine machine;
    machine.root = file_system(3 * gb);
    machine.world.accounts.add("jupyter");
    const auto step = [&](std::uint64_t installer) {
        return DiskSpace{
            machine.world.ports(),
            {.user = "jupyter",
             .debian_packages = {},
             .environments = {{"/opt/anaconda3", {}, {}, {"pip"}}},
             .boot_disk = boot_disk,
             .conda_installer = installer},
            [&](const std::filesystem::path&) -> Result<FileSystem> { return machine.root; }};
    };
    auto small = step(100'000'000);
    CHECK(machine.world.check(small).value().satisfied);
    auto large = step(530'308'481);
    const auto judged = machine.world.check(large).value();
    CHECK_FALSE(judged.satisfied);
    CHECK_THAT(judged.reason,
               ContainsSubstring("at least 3.2 GB") && ContainsSubstring("conda's installer") &&
                   ContainsSubstring("conda's environment"));
    machine.world.commands.when({"worker", "environment"})
        .exits(0, R"({"exists":true,"has_conda":true,"conda":{"pip":"19.2.3"}})");
    CHECK(machine.world.check(large).value().satisfied);
}

TEST_CASE("disk_space: what two environments share on one file system is counted once",
          "[unit][steps]") {
    Machine machine;
    machine.environments = {{"/opt/jupyter", {"jupyterlab", "tensorflow"}}};
    const std::string one = least(machine);
    CHECK(one == "at least 2.1 GB and usually 2.8 GB");
    SECTION("of the same Python") {
        machine.environments.push_back({"/opt/jupyter-envs/a", {"tensorflow"}, {}, {}, "a"});
        CHECK(least(machine) == "at least 2.1 GB and usually 2.8 GB"); // and 25 MB
    }
    SECTION("another version, or one of another Python, is fetched for itself") {
        machine.environments.push_back({"/opt/jupyter-envs/a",
                                        {GENERATE("tensorflow", "tensorflow==2.1")},
                                        {},
                                        {},
                                        "a",
                                        "3.9"});
        CHECK(least(machine) == "at least 3.9 GB and usually 4.9 GB");
    }
    SECTION("a cache elsewhere is copied from into each") {
        machine.mounted["/home"] = file_system(9 * gb, 0, 2);
        machine.environments.push_back({"/opt/jupyter-envs/a", {"tensorflow"}, {}, {}, "a"});
        CHECK(least(machine) == "at least 3.9 GB and usually 4.9 GB");
        machine.root = file_system(9 * gb);
        machine.mounted["/home"] = file_system(gb, 0, 2);
        auto step = machine.step();
        CHECK_THAT(machine.world.apply(step).error().message,
                   ContainsSubstring("at /home, at least 1.9 GB") &&
                       ContainsSubstring("the installer's cache"));
    }
}

TEST_CASE("disk_space: a named environment is told by its name, and costs what it lacks",
          "[unit][steps]") {
    Machine machine;
    machine.world.accounts.add("jupyter");
    machine.world.commands.when({"dpkg-query"}).exits(0, "python3-venv\tii \t3.11.2\n");
    machine.world.commands.when({"worker", "environment", "/opt/jupyter"})
        .exits(0, R"({"exists": true, "python": "3.11.2", "packages": {"jupyterlab": "4.3.1"}})");
    machine.environments.push_back({"/opt/jupyter-envs/a", {"torch"}, {}, {}, "a"});
    machine.root = file_system(gb / 2);
    auto step = machine.step();
    CHECK_THAT(machine.world.apply(step).error().message,
               ContainsSubstring("at /opt/jupyter-envs/a, at least 625 MB and usually 5.3 GB") &&
                   ContainsSubstring("needed there for the environment a"));
    machine.world.commands.when({"worker", "environment", "/opt/jupyter-envs/a"})
        .exits(0, R"({"exists": true, "python": "3.11.2", "packages": {"torch": "2.4.0"}})");
    CHECK(machine.world.check(step).value().reason == "nothing is to be fetched");
    // What Jupyter's own environment has, its cache has.
    machine.environments.back() = {"/opt/jupyter-envs/b", {"jupyterlab"}, {}, {}, "b"};
    machine.root = file_system(gb / 20);
    auto other = machine.step();
    CHECK_THAT(machine.world.check(other).value().reason, ContainsSubstring("50 MB of 10.0 GB"));
}

TEST_CASE("disk_space: the lines of a requirements file count, a lock file's as single packages",
          "[unit][steps]") {
    Machine machine;
    machine.environments.front().requirements_file = "/srv/requirements.txt";
    const auto reads = [&](const std::string& requirement) {
        machine.world.commands.when({"worker", "requirements", "/srv/requirements.txt"})
            .exits(0,
                   R"({"state": "read", "entries": [{"line": 1, "requirement": ")" + requirement +
                       R"(", "text": ""}]})");
    };
    machine.world.accounts.add("nobody"); // the user himself is yet to be made
    reads("torch");
    CHECK(least(machine) == "at least 956 MB and usually 6.0 GB");
    CHECK(machine.world.commands.all_with("requirements").front().as->name == "nobody");
    reads("torch==2.4.0");
    CHECK(least(machine) == "at least 956 MB and usually 6.0 GB");
    reads("idna==3.4");
    CHECK(least(machine) == "at least 356 MB and usually 780 MB");
    reads("idna");
    CHECK(least(machine) == "at least 358 MB and usually 865 MB");
    machine.world.accounts.add("jupyter");
    machine.world.commands.when({"worker", "requirements"}).exits(0, R"({"state": "absent"})");
    CHECK(least(machine) == "at least 356 MB and usually 755 MB");
    CHECK(machine.world.commands.all_with("requirements").back().as->name == "jupyter");
}

TEST_CASE("disk_space: conda hard-links what several environments have", "[unit][steps]") {
    Machine machine;
    const auto usual = [&](std::vector<DiskSpace::PythonEnvironment> environments) {
        DiskSpace step{
            machine.world.ports(),
            {.user = "jupyter",
             .debian_packages = {},
             .environments = std::move(environments),
             .boot_disk = boot_disk,
             .conda_installer = 100'000'000},
            [](const std::filesystem::path&) -> Result<FileSystem> { return file_system(0); }};
        return machine.world.check(step).value().reason;
    };
    CHECK_THAT(usual({{"/opt/c", {}, {}, {"gdal"}}, {"/opt/c/envs/a", {}, {}, {"gdal"}, "a"}}),
               ContainsSubstring("at least 702 MB and usually 1.0 GB"));
    CHECK_THAT(usual({{"/opt/c", {}, {}, {"gdal"}}, {"/opt/c/envs/a", {}, {}, {"r-base"}, "a"}}),
               ContainsSubstring("at least 704 MB") && ContainsSubstring("the environment a"));
}
