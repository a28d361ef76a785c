#include "agent/ports/crypto.hpp"
#include "agent/ports/download.hpp"
#include "agent/workers/adopt.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

struct Places {
    Places() {
        fs::create_directory(theirs());
        fs::create_directory(ours());
        std::ofstream{theirs() / "file"} << "content";
        order.from = theirs() / "file";
        order.to = ours() / "file";
        order.sha256 = sha256_hex("content");
        order.size = 7;
        order.mode = 0755;
    }
    [[nodiscard]] fs::path theirs() const { return root.path() / "theirs"; }
    [[nodiscard]] fs::path ours() const { return root.path() / "ours"; }
    [[nodiscard]] DownloadOutcome adopted() const {
        std::istringstream input{write_order(order)};
        std::ostringstream output;
        REQUIRE(adopt_worker(input, output) == 0);
        return std::get<DownloadOutcome>(read_line(output.str()).value());
    }

    TempRoot root{TempRoot::in_memory()};
    AdoptOrder order;
};

} // namespace

TEST_CASE("adopt worker: the verified copy is put into place with its mode", "[unit][workers]") {
    const Places places;
    std::ofstream{places.ours() / ".file.adopted"} << "left by a kill";
    CHECK_FALSE(places.adopted().error.has_value());
    std::ifstream file{places.order.to};
    CHECK(std::string{std::istreambuf_iterator<char>{file}, {}} == "content");
    CHECK(fs::status(places.order.to).permissions() == fs::perms{0755});
    CHECK_FALSE(fs::exists(places.ours() / ".file.adopted"));
}

TEST_CASE("adopt worker: anything else is refused and nothing is left", "[unit][workers]") {
    Places places;
    std::string why = "expected sha256";
    SECTION("other bytes") {
        std::ofstream{places.order.from} << "c0ntent";
    }
    SECTION("more") {
        std::ofstream{places.order.from, std::ios::app} << "x";
    }
    SECTION("less") {
        fs::resize_file(places.order.from, 6);
    }
    SECTION("a link") {
        fs::remove(places.order.from);
        fs::create_symlink("/etc/passwd", places.order.from);
        why = "reading";
    }
    SECTION("a FIFO") {
        fs::remove(places.order.from);
        REQUIRE(::mkfifo(places.order.from.c_str(), 0644) == 0);
        why = "no plain file";
    }
    SECTION("nothing") {
        fs::remove(places.order.from);
        why = "No such file";
    }
    const auto outcome = places.adopted();
    REQUIRE(outcome.error.has_value());
    CHECK_THAT(outcome.error->message, ContainsSubstring(why));
    CHECK(fs::is_empty(places.ours()));
}

TEST_CASE("adopt worker: it looks whether what is there is the file", "[unit][workers]") {
    Places places;
    places.order.from.clear();
    CHECK(places.adopted().error.has_value());
    std::ofstream{places.order.to} << "content";
    CHECK(places.adopted().size == 7);
    fs::permissions(places.order.to, fs::perms{0666});
    CHECK_THAT(places.adopted().error->message, ContainsSubstring("written by others"));
    std::ofstream{places.order.to} << "c0ntent";
    CHECK_THAT(places.adopted().error->message, ContainsSubstring("expected sha256"));
}

TEST_CASE("adopt worker: an order without sense is wrong usage", "[unit][workers]") {
    std::istringstream input{GENERATE("", "{}", "[]", R"({"to":"x","sha256":""})")};
    std::ostringstream output;
    CHECK(adopt_worker(input, output) == 64);
    CHECK(output.str().empty());
}
