#include "agent/ports/control.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>

using namespace agent;
using Catch::Matchers::ContainsSubstring;
using Outcome = ControlAnswer::Outcome;
using Verb = ControlRequest::Verb;

TEST_CASE("control: a request is one line that says its version", "[unit][ports]") {
    CHECK(write_control_request({Verb::retry, "python", {}}) ==
          R"({"version":1,"verb":"retry","step":"python"})");
    CHECK(write_control_request({Verb::retry, "", {}}) == R"({"version":1,"verb":"retry"})");
    CHECK(write_control_request({Verb::hold, "", std::chrono::hours{2}}) ==
          R"({"version":1,"verb":"hold","seconds":7200})");
    CHECK(write_control_request({Verb::release, "", {}}) == R"({"version":1,"verb":"release"})");
}

TEST_CASE("control: what was written is read back", "[unit][ports]") {
    const auto retry =
        parse_control_request(write_control_request({Verb::retry, "bucket:\"x\"", {}})).value();
    CHECK(retry.verb == Verb::retry);
    CHECK(retry.step == "bucket:\"x\"");
    const auto hold =
        parse_control_request(write_control_request({Verb::hold, "", std::chrono::minutes{1}}))
            .value();
    CHECK(hold.verb == Verb::hold);
    CHECK(hold.duration == std::chrono::seconds{60});
    for (const auto outcome :
         {Outcome::accepted, Outcome::forbidden, Outcome::invalid, Outcome::failed}) {
        const auto answer =
            parse_control_answer(write_control_answer({outcome, "because\n\"so\""})).value();
        CHECK(answer.outcome == outcome);
        CHECK(answer.message == "because\n\"so\"");
    }
}

TEST_CASE("control: what is no request of this version is refused, and says why", "[unit][ports]") {
    struct Row {
        std::string text;
        std::string why;
    };
    const auto row =
        GENERATE(Row{"", "JSON"},
                 Row{"retry", "JSON"},
                 Row{"\x01\x02\xff", "JSON"},
                 Row{"[1]", "object"},
                 Row{"{}", "version 0"},
                 Row{R"({"version":2,"verb":"retry"})", "version 2"},
                 Row{R"({"version":"1","verb":"retry"})", "version 0"},
                 Row{R"({"version":1})", "`verb`"},
                 Row{R"({"version":1,"verb":7})", "`verb`"},
                 Row{R"({"version":1,"verb":"reboot"})", "no verb reboot"},
                 Row{R"({"version":1,"verb":"retry","step":[]})", "`step`"},
                 Row{R"({"version":1,"verb":"retry","seconds":3})", "no member seconds"},
                 Row{R"({"version":1,"verb":"release","step":"python"})", "no member step"},
                 Row{R"({"version":1,"verb":"hold"})", "positive"},
                 Row{R"({"version":1,"verb":"hold","seconds":0})", "positive"},
                 Row{R"({"version":1,"verb":"hold","seconds":-5})", "positive"},
                 Row{R"({"version":1,"verb":"hold","seconds":"60"})", "integer"},
                 Row{R"({"version":1,"verb":"hold","seconds":18446744073709551615})", "integer"});
    INFO(row.text);
    const auto request = parse_control_request(row.text);
    REQUIRE(request.has_error());
    CHECK_THAT(request.error().message, ContainsSubstring(row.why));
}

TEST_CASE("control: an answer fits the message whatever it says", "[unit][ports]") {
    const std::string text =
        write_control_answer({Outcome::failed, std::string(10'000, '\x01') + "the end"});
    CHECK(text.size() <= control_message_limit);
    CHECK(parse_control_answer(text).value().outcome == Outcome::failed);
}
