#include "agent/ports/crypto.hpp"
#include "agent/workers/partial_file.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

struct Place {
    TempRoot root{TempRoot::in_memory()};
    fs::path directory = root.path();

    [[nodiscard]] PartialFile open() const { return PartialFile::open(directory, "f").value(); }
    [[nodiscard]] bool has(const char* name) const { return fs::exists(directory / name); }
    void put(const char* name, const std::string& text) const {
        std::ofstream{directory / name} << text;
    }
    [[nodiscard]] std::string content(const char* name) const {
        std::ifstream file{directory / name};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
};

DownloadState a_state(std::vector<Span> have) {
    return {"source", "sha256", "\"v1\"", 10, std::move(have)};
}

} // namespace

TEST_CASE("partial file: the hash is that of the bytes in order, in whatever order they came",
          "[unit][workers]") {
    const Place place;
    PartialFile file = place.open();
    REQUIRE(file.write(3, "def").has_value());
    CHECK(file.hashed() == 0);
    REQUIRE(file.write(0, "abc").has_value());
    CHECK(file.hashed() == 3);
    CHECK(file.digest() == sha256_hex("abc"));
    REQUIRE(file.hash_towards(6).value());
    CHECK(file.digest() == sha256_hex("abcdef"));
    REQUIRE(file.write(6, "g").has_value());
    CHECK(file.digest() == sha256_hex("abcdefg"));
    REQUIRE(file.finish().has_value());
    CHECK(place.content("f") == "abcdefg");
    CHECK_FALSE(place.has("f.part"));
}

TEST_CASE("partial file: what was kept is taken up again, and hashed again", "[unit][workers]") {
    const Place place;
    {
        PartialFile file = place.open();
        REQUIRE(file.write(0, "abcd").has_value());
        REQUIRE(file.checkpoint(a_state({{0, 4}})).has_value());
    }
    place.put(".f.state.abcdef", "left by a kill");
    PartialFile file = place.open();
    CHECK_FALSE(place.has(".f.state.abcdef"));
    const auto earlier = file.earlier();
    REQUIRE(earlier.has_value());
    CHECK(earlier->have == std::vector<Span>{{0, 4}});
    CHECK(file.hashed() == 0);
    REQUIRE(file.hash_towards(4).value());
    CHECK(file.digest() == sha256_hex("abcd"));
}

TEST_CASE("partial file: a state of more than is there is not believed", "[unit][workers]") {
    const Place place;
    PartialFile file = place.open();
    CHECK_FALSE(file.earlier().has_value());
    REQUIRE(file.write(0, "abc").has_value());
    REQUIRE(file.checkpoint(a_state({{0, 4}})).has_value());
    CHECK_FALSE(file.earlier().has_value());
    REQUIRE(file.checkpoint(a_state({{0, 3}})).has_value());
    CHECK(file.earlier().has_value());
    REQUIRE(file.start_again().has_value());
    CHECK_FALSE(file.earlier().has_value());
    CHECK(fs::file_size(place.directory / "f.part") == 0);
}

TEST_CASE("partial file: one download at a time", "[unit][workers]") {
    const Place place;
    const PartialFile file = place.open();
    const auto second = PartialFile::open(place.directory, "f");
    REQUIRE(second.has_error());
    CHECK(second.error().kind == ErrorKind::transient);
}

TEST_CASE("partial file: no link is written through", "[unit][workers]") {
    const Place place;
    place.put("canary", "canary");
    SECTION("symbolic") {
        fs::create_symlink(place.directory / "canary", place.directory / "f.part");
    }
    SECTION("hard") {
        fs::create_hard_link(place.directory / "canary", place.directory / "f.part");
    }
    SECTION("a FIFO") {
        REQUIRE(::mkfifo((place.directory / "f.part").c_str(), 0600) == 0);
    }
    CHECK(PartialFile::open(place.directory, "f").has_error());
    CHECK(place.content("canary") == "canary");
}

TEST_CASE("partial file: a wrong body is kept as evidence, the next one begins empty",
          "[unit][workers]") {
    const Place place;
    PartialFile file = place.open();
    REQUIRE(file.write(0, "wrong").has_value());
    REQUIRE(file.reject().has_value());
    CHECK(place.content("f.rejected") == "wrong");
    REQUIRE(file.write(0, "ab").has_value());
    CHECK(file.digest() == sha256_hex("ab"));
    CHECK(place.content("f.rejected") == "wrong");
}

TEST_CASE("partial file: a finished one is known by its hash, another one is removed",
          "[unit][workers]") {
    const Place place;
    const PartialFile file = place.open();
    CHECK_FALSE(file.finished(sha256_hex("abc")).value().has_value());
    place.put("f", "abc");
    CHECK(file.finished(sha256_hex("abc")).value() == 3U);
    CHECK_FALSE(file.finished(sha256_hex("abd")).value().has_value());
    CHECK_FALSE(place.has("f"));
}

TEST_CASE("partial file: a page for people begins like one", "[unit][workers]") {
    const Place place;
    PartialFile file = place.open();
    REQUIRE(file.write(0, "#!/bin/sh <html>").has_value());
    CHECK_FALSE(file.begins_like_html());
    REQUIRE(file.start_again().has_value());
    REQUIRE(file.write(0, "\r\n <!DOCTYPE HTML>").has_value());
    CHECK(file.begins_like_html());
}

TEST_CASE("partial file: more than fits is refused with the need and what is there",
          "[unit][workers]") {
    const Place place;
    PartialFile file = place.open();
    REQUIRE(file.reserve(1000).has_value());
    CHECK_FALSE(file.is_out_of_room());
    const auto refused = file.reserve(std::uint64_t{1} << 50);
    REQUIRE(refused.has_error());
    CHECK(refused.error().kind == ErrorKind::permanent);
    CHECK_THAT(refused.error().message, ContainsSubstring("the disk is full: it needs 112589"));
    CHECK_THAT(refused.error().message, ContainsSubstring("are free"));
    CHECK(file.is_out_of_room());
    REQUIRE(file.discard().has_value());
    CHECK(fs::is_empty(place.directory));
}

TEST_CASE("partial file: a failure to write says which", "[unit][workers]") {
    CHECK_THAT(write_failure("/tmp/x", 5, ENOSPC).message, ContainsSubstring("5 bytes more"));
    CHECK_THAT(write_failure("/tmp/x", 5, EDQUOT).message, ContainsSubstring("quota"));
    CHECK_THAT(write_failure("/tmp/x", 5, EIO).message, ContainsSubstring("Input/output error"));
}
