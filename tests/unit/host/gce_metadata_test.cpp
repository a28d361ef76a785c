#include "agent/host/gce_metadata.hpp"
#include "agent/host/http_client.hpp"
#include "tests/fakes/fake_http.hpp"
#include "tests/support/loopback_http.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"

#include <boost/asio/io_context.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <tuple>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::string whole_tree = R"({
  "instance": {
    "id": 13512546227574112017,
    "name": "vm",
    "hostname": "vm.europe-west1-b.c.my-project.internal",
    "zone": "projects/123/zones/europe-west1-b",
    "tags": ["jupyter", "http"],
    "attributes": {"agent-config": "schema = 1\n", "odd": 7},
    "networkInterfaces": [
      {"ip": "10.0.0.2", "network": "projects/123/networks/default",
       "accessConfigs": [{"externalIp": "34.1.2.3", "type": "ONE_TO_ONE_NAT"}]},
      {"ip": "10.1.0.2", "accessConfigs": [{"externalIp": ""}]},
      {"ip": "10.2.0.2"}
    ]
  },
  "project": {"projectId": "my-project", "attributes": {"enable-oslogin": "TRUE"}}
})";

struct Machine {
    boost::asio::io_context io{1};
    FakeHttp http;
    GceMetadata metadata{http, TcpEndpoint{"169.254.169.254", 80}};

    void google(unsigned status, std::string body, std::string etag = {}) {
        std::map<std::string, std::string> headers{{"metadata-flavor", "Google"}};
        if (!etag.empty())
            headers.emplace("etag", std::move(etag));
        http.answer(status, std::move(body), std::move(headers));
    }
    Result<MachineFacts> read() { return run_coroutine(io, metadata.read()); }
    Result<std::string> wait(std::string etag) {
        return run_coroutine(io, metadata.wait_for_attributes(std::move(etag)));
    }
    Result<std::optional<ServiceAccount>> account() {
        return run_coroutine(io, metadata.service_account());
    }
    GuestWrite put(std::string key, std::string value) {
        return run_coroutine(io, metadata.put_guest_attribute(std::move(key), std::move(value)));
    }
};

} // namespace

TEST_CASE("gce metadata: a caller in a hurry bounds the read", "[unit][host]") {
    Machine machine;
    GceMetadata hurried{machine.http, TcpEndpoint{"169.254.169.254", 80}, 2s};
    machine.google(200, whole_tree);
    REQUIRE(run_coroutine(machine.io, hurried.read()).has_value());
    REQUIRE(machine.http.requests.size() == 1);
    CHECK(machine.http.requests.front().deadline == 2s);
}

TEST_CASE("gce metadata: one recursive read gives all facts, the id with every digit",
          "[unit][host]") {
    Machine machine;
    machine.google(200, whole_tree);

    const auto facts = machine.read();

    REQUIRE(facts.has_value());
    CHECK(facts->instance_id == "13512546227574112017");
    CHECK(facts->name == "vm");
    CHECK(facts->hostname == "vm.europe-west1-b.c.my-project.internal");
    CHECK(facts->zone == "europe-west1-b");
    CHECK(facts->project_id == "my-project");
    CHECK(facts->network == "default");
    CHECK(facts->internal_addresses ==
          std::vector<std::string>{"10.0.0.2", "10.1.0.2", "10.2.0.2"});
    CHECK(facts->external_addresses == std::vector<std::string>{"34.1.2.3"});
    CHECK(facts->tags == std::vector<std::string>{"jupyter", "http"});
    CHECK(facts->instance_attributes ==
          std::map<std::string, std::string>{{"agent-config", "schema = 1\n"}});
    CHECK(facts->project_attributes ==
          std::map<std::string, std::string>{{"enable-oslogin", "TRUE"}});
    REQUIRE(machine.http.requests.size() == 1);
    const auto& request = machine.http.requests.front();
    CHECK(request.target == "/computeMetadata/v1/?recursive=true&alt=json");
    CHECK(request.host == "169.254.169.254");
    CHECK(request.headers.at("Metadata-Flavor") == "Google");
}

TEST_CASE("gce metadata: missing and odd parts are no facts and no error", "[unit][host]") {
    Machine machine;
    machine.google(200,
                   GENERATE(R"({"instance": {"id": 7}})",
                            R"({"instance": {"id": 7}, "project": []})",
                            R"({"instance": {"tags": {}, "networkInterfaces": [null, 1],
                                "attributes": [], "id": 7, "zone": 3}})"));
    const auto facts = machine.read();
    REQUIRE(facts.has_value());
    CHECK(facts->instance_id == "7");
    CHECK(facts->zone.empty());
    CHECK(facts->internal_addresses.empty());
    CHECK(facts->instance_attributes.empty());
}

TEST_CASE("gce metadata: what is no good answer says whether to try again", "[unit][host]") {
    Machine machine;
    SECTION("nobody answers") {}
    SECTION("5xx, also of something in between") {
        machine.http.answer(503);
    }
    SECTION("too many requests") {
        machine.google(429, "");
    }
    SECTION("no JSON") {
        machine.google(200, "{");
    }
    SECTION("no object") {
        machine.google(200, "[]");
    }
    const auto facts = machine.read();
    REQUIRE(facts.has_error());
    CHECK(facts.error().kind == ErrorKind::transient);
}

TEST_CASE("gce metadata: an answer that does not say which instance this is is not whole",
          "[unit][host]") {
    Machine machine;
    machine.google(200,
                   GENERATE(R"({})",
                            R"({"instance": null})",
                            R"({"instance": {"id": null, "attributes": {"agent-config": ""}}})",
                            R"({"instance": {"id": "vm"}})",
                            R"({"instance": {"id": 1.5}})"));
    const auto facts = machine.read();
    REQUIRE(facts.has_error());
    CHECK(facts.error().kind == ErrorKind::transient);
    CHECK_THAT(facts.error().message, ContainsSubstring("instance.id"));
}

TEST_CASE("gce metadata: what is not GCE's server is a permanent error", "[unit][host]") {
    Machine machine;
    SECTION("a success without the flavor") {
        machine.http.answer(200, whole_tree);
        const auto facts = machine.read();
        REQUIRE(facts.has_error());
        CHECK(facts.error().kind == ErrorKind::permanent);
        CHECK_THAT(facts.error().message, ContainsSubstring("Metadata-Flavor"));
        CHECK_FALSE(facts.error().next.empty());
    }
    SECTION("the tree is not found") {
        machine.google(404, "not found");
        const auto facts = machine.read();
        REQUIRE(facts.has_error());
        CHECK(facts.error().kind == ErrorKind::permanent);
        CHECK_THAT(facts.error().message, ContainsSubstring("404"));
    }
}

TEST_CASE("gce metadata: the first etag is asked for without waiting", "[unit][host]") {
    Machine machine;
    machine.google(200, "{}", "abc/1+2");
    CHECK(machine.wait("").value() == "abc/1+2");
    CHECK(machine.http.requests.front().target ==
          "/computeMetadata/v1/instance/attributes/?recursive=true");
}

TEST_CASE("gce metadata: a wait names the last etag and outlives the server's minute",
          "[unit][host]") {
    Machine machine;
    machine.google(200, "{}", "next");
    CHECK(machine.wait("abc/1&2").value() == "next");
    CHECK(machine.http.requests.front().target ==
          "/computeMetadata/v1/instance/attributes/"
          "?recursive=true&wait_for_change=true&timeout_sec=60&last_etag=abc%2F1%262");
    CHECK(machine.http.requests.front().deadline == 70s);
}

TEST_CASE("gce metadata: an answer without an etag is an error, not a change", "[unit][host]") {
    Machine machine;
    machine.google(200, "{}");
    const auto etag = machine.wait("abc");
    REQUIRE(etag.has_error());
    CHECK(etag.error().kind == ErrorKind::transient);
}

TEST_CASE("gce metadata: the status of a guest attribute's write is told", "[unit][host]") {
    Machine machine;
    const auto [status, outcome] = GENERATE(table<unsigned, GuestWrite>({
        {200, GuestWrite::written},
        {204, GuestWrite::written},
        {403, GuestWrite::disabled},
        {400, GuestWrite::rejected},
        {404, GuestWrite::rejected},
        {429, GuestWrite::later},
        {500, GuestWrite::later},
        {503, GuestWrite::later},
    }));
    machine.http.answer(status);

    CHECK(machine.put("state", "ready") == outcome);

    const auto& request = machine.http.requests.front();
    CHECK(request.method == "PUT");
    CHECK(request.target == "/computeMetadata/v1/instance/guest-attributes/agent/state");
    CHECK(request.headers.at("Metadata-Flavor") == "Google");
    CHECK(request.body == "ready");
}

TEST_CASE("gce metadata: the service account comes with its scopes and a token of now",
          "[unit][host]") {
    Machine machine;
    machine.google(200, R"({"aliases": ["default"], "email": "vm@example.com",
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"]})");
    machine.google(200, R"({"access_token": "ya29.geheim", "expires_in": 3599})");
    const auto account = machine.account().value();
    REQUIRE(account.has_value());
    CHECK(account->email == "vm@example.com");
    CHECK(account->scopes ==
          std::vector<std::string>{"https://www.googleapis.com/auth/cloud-platform"});
    CHECK(account->token.reveal() == "ya29.geheim");
    REQUIRE(machine.http.requests.size() == 2);
    const std::string place = "/computeMetadata/v1/instance/service-accounts/default/";
    CHECK(machine.http.requests[0].target == place + "?recursive=true&alt=json");
    CHECK(machine.http.requests[1].target == place + "token");
    for (const auto& request : machine.http.requests)
        CHECK(request.headers.at("Metadata-Flavor") == "Google");
}

TEST_CASE("gce metadata: a VM without a service account has none, which is no failure",
          "[unit][host]") {
    Machine machine;
    SECTION("at all") {
        machine.google(404, "not found");
    }
    SECTION("that gives a token") {
        machine.google(200, "{}");
        machine.google(404, "not found");
    }
    CHECK_FALSE(machine.account().value().has_value());
}

TEST_CASE("gce metadata: what is no token is not taken for one, and no word of it is said",
          "[unit][host]") {
    Machine machine;
    const std::string answer = GENERATE(as<std::string>{},
                                        "geheim",
                                        R"({"token": "geheim"})",
                                        R"({"access_token": ""})",
                                        R"({"access_token": "geheim\r\nX: y"})",
                                        R"({"access_token": 7})");
    machine.google(200, R"({"email": "vm@example.com"})");
    machine.google(200, answer);
    const auto account = machine.account();
    REQUIRE(account.has_error());
    CHECK(account.error().kind == ErrorKind::transient);
    CHECK_THAT(account.error().message, !ContainsSubstring("geheim"));
}

TEST_CASE("gce metadata: a guest attribute that nobody takes is written later", "[unit][host]") {
    Machine machine;
    CHECK(machine.put("state", "ready") == GuestWrite::later);
}

TEST_CASE("gce metadata: the real client reads a server on the loopback", "[unit][host]") {
    boost::asio::io_context io{1};
    BeastHttpClient http{io, {}};
    LoopbackHttp server{io};
    GceMetadata metadata{http, TcpEndpoint{"127.0.0.1", server.port()}};
    server.answer(http_response(200, whole_tree, {"Metadata-Flavor: Google", "ETag: 0123"}));
    server.answer(http_response(200, "{}", {"Metadata-Flavor: Google", "ETag: 4567"}));
    server.answer(http_response(403, "Guest attributes endpoint access is disabled."));
    server.answer(http_response(200, std::string((1 << 20) + 1, ' '), {"Metadata-Flavor: Google"}));

    CHECK(run_coroutine(io, metadata.read()).value().name == "vm");
    CHECK(run_coroutine(io, metadata.wait_for_attributes("0123")).value() == "4567");
    CHECK(run_coroutine(io, metadata.put_guest_attribute("state", "ready")) ==
          GuestWrite::disabled);
    CHECK_THAT(run_coroutine(io, metadata.read()).error().message, ContainsSubstring("too large"));
    CHECK_THAT(server.requests().front(), ContainsSubstring("\r\nMetadata-Flavor: Google\r\n"));
}

TEST_CASE("gce metadata: its place is a numeric address with or without a port", "[unit][host]") {
    const auto [text, address, port] = GENERATE(table<std::string, std::string, std::uint16_t>({
        {"169.254.169.254", "169.254.169.254", 80},
        {"127.0.0.1:8080", "127.0.0.1", 8080},
        {"[fd20:ce::254]:8080", "fd20:ce::254", 8080},
        {"[fd20:ce::254]", "fd20:ce::254", 80},
        {"fd20:ce::254", "fd20:ce::254", 80},
    }));
    const auto endpoint = metadata_endpoint(text);
    REQUIRE(endpoint.has_value());
    CHECK(endpoint->address == address);
    CHECK(endpoint->port == port);
}

TEST_CASE("gce metadata: a place that would have to be looked up is misconfigured",
          "[unit][host]") {
    const std::string text = GENERATE("",
                                      "metadata.google.internal",
                                      "localhost:80",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:80x",
                                      "http://127.0.0.1",
                                      "[::1",
                                      "[::1]x");
    const auto endpoint = metadata_endpoint(text);
    REQUIRE(endpoint.has_error());
    CHECK(endpoint.error().kind == ErrorKind::misconfigured);
}

TEST_CASE("gce metadata: the environment may say where the server is", "[unit][host]") {
    const auto [told, address] = GENERATE(table<const char*, std::string>({
        {nullptr, "169.254.169.254"},
        {"", "169.254.169.254"},
        {"127.0.0.1:8080", "127.0.0.1"},
    }));
    if (told)
        ::setenv(metadata_variable, told, 1);
    const auto endpoint = metadata_server();
    ::unsetenv(metadata_variable);
    REQUIRE(endpoint.has_value());
    CHECK(endpoint->address == address);
}
