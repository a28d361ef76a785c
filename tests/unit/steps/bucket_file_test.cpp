#include "agent/ports/bucket.hpp"
#include "agent/ports/crypto.hpp"
#include "agent/steps/bucket_file.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/step_world.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

constexpr const char* place = "gs://my-bucket/r.txt";
constexpr const char* directory = "/var/lib/agent/bucket-files";

std::string copy_of(const std::string& object, const std::string& name = "requirements.txt") {
    return std::string{directory} + "/" + sha256_hex(object).substr(0, 12) + "-environment-old-" +
           name;
}

class Machine {
public:
    Machine() {
        user = world.accounts.add("ada");
        is(ServiceAccount{"vm@example.com",
                          {"https://www.googleapis.com/auth/cloud-platform"},
                          Secret{"ya29.geheim"}});
    }
    void is(const Result<std::optional<ServiceAccount>>& account) {
        world.commands.when({"worker", "account"}).exits(0, write_account(account) + "\n");
    }
    void bucket_has(const std::string& text) {
        world.commands.when({"worker", "bucket"}).exits(0, write_answer(text) + "\n");
    }
    void bucket_fails(const Error& error) {
        world.commands.when({"worker", "bucket"}).exits(0, write_answer(error) + "\n");
    }
    [[nodiscard]] BucketFile file(const std::string& object = place, const Network& network = {}) {
        return BucketFile::at(
                   world.ports(), object, {"environment:old", "requirements.txt"}, network)
            .value();
    }
    Result<std::string> look(BucketFile& file) {
        return run_coroutine(io, file.look(world.context, user));
    }
    Result<std::string> take(BucketFile& file) {
        return run_coroutine(io, file.take(world.context, user));
    }
    [[nodiscard]] BucketOrder order() const {
        return read_bucket_order(world.commands.all_with("bucket").back().input).value();
    }

    boost::asio::io_context io{1};
    StepWorld world;
    Account user;
};

} // namespace

TEST_CASE("bucket file: what is on the machine is none", "[unit][steps]") {
    StepWorld world;
    for (const char* path : {"", "/etc/r.txt", "/mnt/gs:/r.txt"})
        CHECK_FALSE(BucketFile::at(world.ports(), path, {"s", "r.txt"}, {}).has_value());
}

TEST_CASE("bucket file: the user's worker reads it with the VM's token and on the company's way",
          "[unit][steps]") {
    Machine machine;
    machine.bucket_has("numpy\n");
    machine.world.put("/etc/company.pem", "");
    auto file = machine.file(place, {"http://proxy:3128", {"intranet"}, "/etc/company.pem"});
    CHECK(machine.look(file).value() == "numpy\n");

    const Command command = machine.world.commands.all_with("bucket").back();
    CHECK(command.argv == std::vector<std::string>{"/proc/self/exe", "worker", "bucket"});
    CHECK(command.environment.empty());
    REQUIRE(command.as.has_value());
    CHECK(command.as->name == "ada");
    const BucketOrder order = machine.order();
    CHECK(order.place == place);
    CHECK(order.url == object_url(place));
    REQUIRE(order.reader.has_value());
    CHECK(order.reader->token.reveal() == "ya29.geheim");
    CHECK(order.reader->email == "vm@example.com");
    CHECK(order.reader->scopes.size() == 1);
    CHECK(order.proxy == "http://proxy:3128");
    CHECK(order.no_proxy == std::vector<std::string>{"intranet"});
    CHECK(order.ca_certificates == "/etc/company.pem");
    CHECK(machine.world.commands.all_with("account").back().as->name == "ada");
    CHECK(machine.world.context.lines.empty());
    for (const auto& ran : machine.world.commands.ran)
        CHECK_THAT(FakeCommands::line(ran), !ContainsSubstring("geheim"));
}

TEST_CASE("bucket file: a VM without an account asks as nobody in particular", "[unit][steps]") {
    Machine machine;
    machine.is(std::optional<ServiceAccount>{});
    machine.bucket_has("numpy\n");
    auto file = machine.file();
    CHECK(machine.look(file).value() == "numpy\n");
    CHECK_FALSE(machine.order().reader.has_value());
}

TEST_CASE("bucket file: a look writes nothing, an installation keeps what it is of",
          "[unit][steps]") {
    Machine machine;
    machine.bucket_has("numpy\n");
    auto file = machine.file();
    REQUIRE(machine.look(file).has_value());
    CHECK_FALSE(machine.world.has(directory));
    CHECK_FALSE(file.is_kept());
    CHECK(machine.take(file).value() == "numpy\n");
    CHECK(machine.world.commands.all_with("bucket").size() == 1);
    CHECK(file.copy() == machine.world.root() / copy_of(place));
    CHECK(machine.world.content(copy_of(place)) == "numpy\n");
    CHECK(machine.world.mode(copy_of(place)) == 0640);
    CHECK(machine.world.mode(directory) == 0711);
    CHECK(file.note().empty());
    CHECK(file.is_kept());
}

TEST_CASE("bucket file: a copy that is right is not written again", "[unit][steps]") {
    Machine machine;
    machine.bucket_has("numpy\n");
    auto first = machine.file();
    REQUIRE(machine.take(first).has_value());
    const auto written = std::filesystem::last_write_time(first.copy());
    auto second = machine.file();
    REQUIRE(machine.look(second).has_value());
    CHECK(second.is_kept());
    REQUIRE(machine.take(second).has_value());
    CHECK(std::filesystem::last_write_time(second.copy()) == written);
}

TEST_CASE("bucket file: a bucket that cannot be read leaves a look what was read last",
          "[unit][steps]") {
    Machine machine;
    machine.bucket_has("numpy\n");
    auto before = machine.file();
    REQUIRE(machine.take(before).has_value());
    machine.bucket_fails(permanent("reading it: refused", "grant it"));

    auto file = machine.file();
    CHECK(machine.look(file).value() == "numpy\n");
    CHECK(file.is_kept());
    CHECK(file.note() == "going by what was read last: reading it: refused");
    CHECK(machine.world.context.lines.back() ==
          "going on with what was read last: reading it: refused");
    // Nothing is installed of what may be out of date.
    const auto taken = machine.take(file);
    REQUIRE(taken.has_error());
    CHECK(taken.error().message == "reading it: refused");
    CHECK(taken.error().next == "grant it");
    machine.bucket_has("pandas\n");
    CHECK(machine.take(file).value() == "pandas\n");
    CHECK(machine.world.content(copy_of(place)) == "pandas\n");
    CHECK(file.note().empty());
}

TEST_CASE("bucket file: what was never read is an error", "[unit][steps]") {
    Machine machine;
    machine.bucket_fails(transient("the server answered with 503"));
    auto file = machine.file();
    CHECK(machine.look(file).error().kind == ErrorKind::transient);
    CHECK_FALSE(machine.world.has(directory));
}

TEST_CASE("bucket file: the copy of one object is not taken for another's", "[unit][steps]") {
    Machine machine;
    machine.bucket_has("numpy\n");
    auto before = machine.file();
    REQUIRE(machine.take(before).has_value());
    machine.world.put(copy_of("gs://other/x", "constraints.txt"), "of another key");

    machine.bucket_fails(permanent("refused"));
    auto other = machine.file("gs://my-bucket/other.txt");
    CHECK(machine.look(other).has_error());
    // It goes once there is one of the object that is asked for now.
    machine.bucket_has("pandas\n");
    REQUIRE(machine.take(other).has_value());
    CHECK_FALSE(machine.world.has(copy_of(place)));
    CHECK(machine.world.has(copy_of("gs://my-bucket/other.txt")));
    CHECK(machine.world.has(copy_of("gs://other/x", "constraints.txt")));
}

TEST_CASE("bucket file: without the metadata server's word nothing is asked", "[unit][steps]") {
    Machine machine;
    machine.is(transient("the metadata server answered with status 503"));
    auto file = machine.file();
    const auto looked = machine.look(file);
    REQUIRE(looked.has_error());
    CHECK(looked.error().message == "reading gs://my-bucket/r.txt: the metadata server answered "
                                    "with status 503");
    CHECK(machine.world.commands.all_with("bucket").empty());
}

TEST_CASE("bucket file: a worker that failed after it had a token is not quoted", "[unit][steps]") {
    Machine machine;
    const std::optional account{ServiceAccount{"vm@example.com", {}, Secret{"ya29.geheim"}}};
    machine.world.commands.when({"worker", "account"}).exits(1, write_account(account) + "\n");
    auto file = machine.file();
    const auto looked = machine.look(file);
    REQUIRE(looked.has_error());
    CHECK_THAT(looked.error().message, ContainsSubstring("exited with status 1"));
    CHECK_THAT(looked.error().message, !ContainsSubstring("geheim"));
}

TEST_CASE("bucket file: a worker that was killed is no word of the bucket's", "[unit][steps]") {
    Machine machine;
    machine.world.commands.when({"worker", "bucket"}).is_killed(9);
    auto file = machine.file();
    const auto looked = machine.look(file);
    REQUIRE(looked.has_error());
    CHECK(looked.error().kind == ErrorKind::transient);
}
