#include "agent/commands/control.hpp"
#include "tests/fakes/fake_control.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <sstream>

using namespace agent;
using namespace agent::test;
using Outcome = ControlAnswer::Outcome;
using Verb = ControlRequest::Verb;

TEST_CASE("retry: what was accepted is told, with how to follow it", "[unit][commands]") {
    FakeControlClient client{ControlAnswer{Outcome::accepted, "python runs again\x1b now"}};
    std::ostringstream out;
    std::ostringstream err;
    CHECK(control_command({Verb::retry, "python", {}}, client, out, err) == 0);
    CHECK(out.str() == "python runs again? now\nfollow with `agent status --watch`\n");
    CHECK(err.str().empty());
    CHECK(client.asked.at(0).step == "python");
}

TEST_CASE("retry: a refusal is one sentence and an exit status", "[unit][commands]") {
    const auto [answer, code, text] = GENERATE(
        std::tuple{Result<ControlAnswer>{ControlAnswer{Outcome::forbidden, "use sudo"}},
                   77,
                   std::string{"agent: use sudo\n"}},
        std::tuple{Result<ControlAnswer>{ControlAnswer{Outcome::invalid, "no such step"}},
                   64,
                   std::string{"agent: no such step\n"}},
        std::tuple{Result<ControlAnswer>{ControlAnswer{Outcome::failed, "not now"}},
                   1,
                   std::string{"agent: not now\n"}},
        std::tuple{Result<ControlAnswer>{transient("the agent is not running", "start it")},
                   1,
                   std::string{"agent: the agent is not running\n  next: start it\n"}});
    FakeControlClient client{answer};
    std::ostringstream out;
    std::ostringstream err;
    CHECK(control_command({}, client, out, err) == code);
    CHECK(out.str().empty());
    CHECK(err.str() == text);
}
