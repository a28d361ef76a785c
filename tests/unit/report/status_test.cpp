#include "agent/base/timestamp.hpp"
#include "agent/ports/documents.hpp"
#include "agent/report/status.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace agent {
namespace {

using namespace std::chrono_literals;

Status example() {
    Status status;
    status.state = MachineState::provisioning;
    status.summary = "installing Python packages";
    status.boot_id = "6f2a3c1e-8a51-4f5d-9c53-0d8f3b1b2c4d";
    status.instance_id = "18446744073709551615";
    status.since = std::chrono::system_clock::time_point{1700000000s + 750ms};
    StepStatus user;
    user.id = "service_user";
    user.state = "satisfied";
    user.reason = "it exists";
    StepStatus packages;
    packages.id = "python_packages";
    packages.state = "running";
    packages.reason = "pandas is not installed";
    packages.attempts = 2;
    packages.started = std::chrono::system_clock::time_point{1700000060s};
    packages.seconds = 12.34;
    packages.error = "the index did not answer";
    status.steps = {user, packages};
    return status;
}

TEST_CASE("status: the document names every fact, and unknown ones are null", "[unit][report]") {
    CHECK(write_json(to_value(example())) ==
          R"({"schema":1,"state":"provisioning","summary":"installing Python packages",)"
          R"("boot_id":"6f2a3c1e-8a51-4f5d-9c53-0d8f3b1b2c4d",)"
          R"("instance_id":"18446744073709551615","config_sha256":null,)"
          R"("since":"2023-11-14T22:13:20Z","url":null,"certificate_sha256":null,)"
          R"("ssh_public_key":null,"problem":null,"steps":[)"
          R"({"id":"service_user","state":"satisfied","reason":"it exists","attempts":0,)"
          R"("started":null,"seconds":0,"error":null},)"
          R"({"id":"python_packages","state":"running","reason":"pandas is not installed",)"
          R"("attempts":2,"started":"2023-11-14T22:14:20Z","seconds":12.3,)"
          R"("error":"the index did not answer"}]})");
}

TEST_CASE("status: what was written is read back", "[unit][report]") {
    Status status = example();
    status.state = GENERATE(MachineState::starting,
                            MachineState::provisioning,
                            MachineState::ready,
                            MachineState::degraded,
                            MachineState::failed,
                            MachineState::stopping);
    status.url = "https://203.0.113.7:8888/";
    status.certificate_sha256 = std::string(64, 'a');
    status.ssh_public_key = "ssh-ed25519 AAAA jupyter@vm";
    status.config_sha256 = std::string(64, 'b');
    status.problem = Problem{.step = "python_packages",
                             .kind = "transient",
                             .message = "pip: no answer",
                             .next = "wait"};
    const std::string text = write_json(to_value(status));

    const auto value = parse_json(text);
    REQUIRE(value.has_value());
    const auto read = status_from(*value);
    REQUIRE(read.has_value());
    CHECK(write_json(to_value(*read)) == text);
    CHECK(read->state == status.state);
    CHECK(read->problem == status.problem);
    CHECK(timestamp(read->since) == "2023-11-14T22:13:20Z");
    REQUIRE(read->steps.size() == 2);
    CHECK(read->steps[1].started == status.steps[1].started);
}

TEST_CASE("status: a problem of no step and with no advice has nulls", "[unit][report]") {
    Status status = example();
    status.problem =
        Problem{.step = "", .kind = "misconfigured", .message = "no config", .next = ""};
    const auto read = status_from(to_value(status));
    REQUIRE(read.has_value());
    CHECK(read->problem == status.problem);
    CHECK(write_json(to_report(status)).find(R"("step":null)") != std::string::npos);
}

TEST_CASE("status: what is not of the schema is refused by name", "[unit][report]") {
    const auto [change, named] = GENERATE(table<std::pair<std::string, std::string>, std::string>({
        {{R"("schema":1)", R"("schema":2)"}, "schema 2"},
        {{R"("schema":1,)", ""}, "schema 0"},
        {{R"("provisioning")", R"("happy")"}, "`state`"},
        {{R"("provisioning")", "7"}, "`state`"},
        {{"2023-11-14T22:13:20Z", "yesterday"}, "`since`"},
        {{R"("boot_id")", R"("boot")"}, "`boot_id`"},
        {{R"("steps":[)", R"("steps":"none","x":[)"}, "`steps`"},
        {{R"("attempts":2)", R"("attempts":-2)"}, "`steps.attempts`"},
        {{R"("problem":null)", R"("problem":{"kind":"transient"})"}, "`problem.message`"},
    }));
    std::string text = write_json(to_value(example()));
    const auto at = text.find(change.first);
    REQUIRE(at != std::string::npos);
    text.replace(at, change.first.size(), change.second);
    const auto value = parse_json(text);
    REQUIRE(value.has_value());

    const auto read = status_from(*value);
    REQUIRE(read.has_error());
    CHECK(read.error().message.find(named) != std::string::npos);
}

TEST_CASE("status: members of a later release do not disturb", "[unit][report]") {
    std::string text = write_json(to_value(example()));
    text.insert(1, R"("colour":"blue",)");
    const auto value = parse_json(text);
    REQUIRE(value.has_value());
    CHECK(status_from(*value).has_value());
}

TEST_CASE("report: the status without its steps", "[unit][report]") {
    const Value report = to_report(example());
    CHECK(report.find("steps") == nullptr);
    CHECK(report.string_or("summary", "") == "installing Python packages");
}

TEST_CASE("report: never above 1 KiB, whatever a command printed", "[unit][report]") {
    Status status = example();
    status.url = "https://203.0.113.7:8888/";
    status.certificate_sha256 = std::string(64, 'a');
    status.config_sha256 = std::string(64, 'b');
    status.ssh_public_key = "ssh-rsa " + std::string(GENERATE(80U, 700U), 'K');
    const std::string words = GENERATE(std::string(5000, 'x'), std::string(5000, '"'));
    status.summary = words;
    status.problem = Problem{.step = words, .kind = "permanent", .message = words, .next = words};

    const Value report = to_report(status);
    CHECK(write_json(report).size() <= 1024);
    CHECK(report.string_or("state", "") == "provisioning");
    CHECK(report.string_or("certificate_sha256", "") == status.certificate_sha256);
    CHECK(report.find("problem")->string_or("kind", "") == "permanent");
    const std::string key = report.string_or("ssh_public_key", "");
    CHECK((key.empty() || key == status.ssh_public_key));
}

} // namespace
} // namespace agent
