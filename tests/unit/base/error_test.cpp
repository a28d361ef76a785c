#include "agent/base/error.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cerrno>
#include <string>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("error: every kind has a name, which is what status says", "[unit][base]") {
    CHECK(name_of(ErrorKind::transient) == "transient");
    CHECK(name_of(ErrorKind::permanent) == "permanent");
    CHECK(name_of(ErrorKind::misconfigured) == "misconfigured");
}

TEST_CASE("error: each layer puts one clause in front and keeps the rest", "[unit][base]") {
    const Error inner = misconfigured("no such user", "make one");
    const Error outer = context(context(inner, "asking getent"), "making a home");
    CHECK(outer.message == "making a home: asking getent: no such user");
    CHECK(outer.kind == ErrorKind::misconfigured);
    CHECK(outer.next == "make one");
}

TEST_CASE("error: a system call's failure says what was done and what came back", "[unit][base]") {
    const Error error = system_error("writing /etc/agent/agent.toml", EACCES);
    CHECK(error.message == "writing /etc/agent/agent.toml: Permission denied");
    CHECK(error.kind == ErrorKind::permanent);
}

TEST_CASE("error: what is full or read-only has its own remedy", "[unit][base]") {
    struct Row {
        int number;
        std::string next;
    };
    const auto row = GENERATE(Row{ENOSPC, "free disk space"},
                              Row{EDQUOT, "free disk space"},
                              Row{EROFS, "read-only"},
                              Row{EIO, "dmesg"});
    const Error error = system_error("writing", row.number);
    CHECK(error.kind == ErrorKind::permanent);
    CHECK_THAT(error.next, ContainsSubstring(row.next));
}

TEST_CASE("error: what passes by itself is tried again", "[unit][base]") {
    const int number = GENERATE(EINTR, EAGAIN, ENOMEM, EMFILE, ENFILE);
    CHECK(system_error("opening", number).kind == ErrorKind::transient);
}
