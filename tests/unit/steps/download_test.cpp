#include "agent/ports/download.hpp"
#include "agent/steps/download.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/step_world.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

constexpr const char* destination = "/var/lib/agent/tools/thing";
constexpr const char* incoming = "/var/lib/agent/tools/.thing.incoming";

std::string ends(std::uint64_t size) {
    DownloadOutcome outcome;
    outcome.size = size;
    return write_line(outcome) + "\n";
}

std::string ends(Error error) {
    DownloadOutcome outcome;
    outcome.error = std::move(error);
    return write_line(outcome) + "\n";
}

struct Machine {
    Machine() {
        wish.what = "the thing";
        wish.url = "https://me:secret@host/thing?secret";
        wish.sha256 = std::string(64, 'a');
        wish.destination = destination;
        wish.as = {"jupyter", ::getuid() == 0 ? 1234U : ::getuid(), ::getgid(), "/home", "/bin/sh"};
        wish.network = {"http://proxy:1", {"direct"}, "/etc/ca.pem"};
    }
    Result<void> fetched() {
        boost::asio::io_context io{1};
        const StepPorts ports = world.ports();
        return run_coroutine(io, fetch(world.context, ports, wish));
    }

    StepWorld world;
    Wish wish;
};

} // namespace

TEST_CASE("download: the user fetches, root takes over, and what is secret is on standard input",
          "[unit][steps]") {
    Machine machine;
    auto& commands = machine.world.commands;
    commands.when({"worker", "fetch"})
        .exits(0,
               write_line(DownloadProgress{120'000'000, 500'000'000}) + "\n" +
                   write_line(DownloadNote{"again in 1 s"}) + "\n" + ends(500'000'000));
    commands.when({"worker", "adopt"}).exits(0, ends(500'000'000));

    REQUIRE(machine.fetched().has_value());

    REQUIRE(commands.ran.size() == 2);
    const Command& fetching = commands.ran.front();
    REQUIRE(fetching.as.has_value());
    CHECK(fetching.as->name == "jupyter");
    CHECK_THAT(FakeCommands::line(fetching), !ContainsSubstring("secret"));
    const DownloadOrder order = read_order(fetching.input).value();
    CHECK(order.url == machine.wish.url);
    CHECK(order.directory == machine.world.root() / incoming);
    CHECK(order.proxy == "http://proxy:1");
    CHECK(order.no_proxy == std::vector<std::string>{"direct"});
    CHECK(order.ca_certificates == "/etc/ca.pem");
    const Command& adopting = commands.ran.back();
    CHECK_FALSE(adopting.as.has_value());
    const AdoptOrder adoption = read_adopt_order(adopting.input).value();
    CHECK(adoption.from == machine.world.root() / incoming / "file");
    CHECK(adoption.to == machine.world.root() / destination);
    CHECK(adoption.sha256 == machine.wish.sha256);
    CHECK(adoption.size == 500'000'000);
    const std::vector<std::string> phrases{
        "fetching the thing", "fetching the thing: 120 of 500 MB", "verifying the thing"};
    CHECK(machine.world.context.phrases == phrases);
    CHECK(machine.world.context.lines == std::vector<std::string>{"again in 1 s"});
    CHECK_FALSE(machine.world.has(incoming));
}

TEST_CASE("download: what is there and right is not fetched again", "[unit][steps]") {
    Machine machine;
    machine.world.put(destination, "content");
    machine.world.commands.when({"worker", "adopt"}).exits(0, ends(7));
    REQUIRE(machine.fetched().has_value());
    REQUIRE(machine.world.commands.ran.size() == 1);
    CHECK(read_adopt_order(machine.world.commands.ran.front().input).value().from.empty());
    CHECK(machine.world.context.phrases.empty());
}

TEST_CASE("download: what is there and is not right is replaced", "[unit][steps]") {
    Machine machine;
    machine.world.put(destination, "c0ntent");
    auto& commands = machine.world.commands;
    commands.when({"worker", "adopt"})
        .exits(0, ends(permanent("expected another sha256")))
        .exits(0, ends(7));
    commands.when({"worker", "fetch"}).exits(0, ends(7));
    REQUIRE(machine.fetched().has_value());
    CHECK(commands.ran.size() == 3);
    CHECK_THAT(machine.world.context.lines.front(), ContainsSubstring("expected another sha256"));
}

TEST_CASE("download: what came so far and the evidence are kept after a failure", "[unit][steps]") {
    Machine machine;
    auto& commands = machine.world.commands;
    SECTION("of the worker") {
        commands.when({"worker", "fetch"})
            .exits(0, ends(misconfigured("fetching https://host/thing: no", "do this")));
        const auto failed = machine.fetched();
        REQUIRE(failed.has_error());
        CHECK(failed.error().kind == ErrorKind::misconfigured);
        CHECK(failed.error().message == "fetching the thing: fetching https://host/thing: no");
        CHECK(failed.error().next == "do this");
    }
    SECTION("of a worker that was killed") {
        commands.when({"worker", "fetch"}).is_killed(SIGKILL);
        const auto failed = machine.fetched();
        REQUIRE(failed.has_error());
        CHECK(failed.error().kind == ErrorKind::transient);
        CHECK_THAT(failed.error().message, ContainsSubstring("SIGKILL"));
    }
    SECTION("of a worker without a word") {
        commands.when({"worker", "fetch"}).exits(0, "hello\n");
        const auto failed = machine.fetched();
        REQUIRE(failed.has_error());
        CHECK(failed.error().kind == ErrorKind::transient);
        CHECK(machine.world.context.lines == std::vector<std::string>{"hello"});
    }
    SECTION("of taking it over") {
        commands.when({"worker", "fetch"}).exits(0, ends(7));
        commands.when({"worker", "adopt"}).exits(0, ends(permanent("it was changed")));
        CHECK_THAT(machine.fetched().error().message, ContainsSubstring("it was changed"));
    }
    CHECK(machine.world.has(incoming));
    CHECK(machine.world.mode(incoming) == 0700);
}

TEST_CASE("download: nothing is fetched as root, nor what cannot fit", "[unit][steps]") {
    Machine machine;
    SECTION("as root") {
        machine.wish.as.uid = 0;
        CHECK_THAT(machine.fetched().error().message, ContainsSubstring("as root"));
    }
    SECTION("into a directory of others") {
        fs::create_directories(machine.world.root() / "/var/lib/agent/tools");
        fs::permissions(machine.world.root() / "/var/lib/agent/tools", fs::perms{0777});
        CHECK_THAT(machine.fetched().error().message, ContainsSubstring("only root writes"));
    }
    SECTION("too large") {
        machine.wish.size = std::uint64_t{1} << 60;
        CHECK_THAT(machine.fetched().error().message, ContainsSubstring("are free"));
    }
    CHECK(machine.world.commands.ran.empty());
}
