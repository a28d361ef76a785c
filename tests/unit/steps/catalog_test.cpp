#include "agent/graph/plan.hpp"
#include "agent/steps/catalog.hpp"
#include "agent/steps/prefix.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

namespace {

std::vector<StepTraits> traits_of(const std::vector<Step>& steps) {
    std::vector<StepTraits> traits;
    for (const auto& step : steps)
        traits.push_back(step.traits);
    return traits;
}

std::string fingerprint_of(const std::vector<Step>& steps, const std::string& id) {
    const auto found = std::find_if(
        steps.begin(), steps.end(), [&](const Step& step) { return step.traits.id == id; });
    REQUIRE(found != steps.end());
    return found->guarantee->fingerprint();
}

MachineFacts vm() {
    MachineFacts facts;
    facts.instance_id = "1";
    facts.name = "vm-1";
    facts.hostname = "vm-1.europe-west1-b.c.project.internal";
    facts.internal_addresses = {"10.132.0.2"};
    facts.external_addresses = {"203.0.113.7"};
    return facts;
}

Settings with_password() {
    Settings settings;
    settings.jupyter.password_hash = "argon2:geheim";
    return settings;
}

} // namespace

TEST_CASE("catalog: whatever is asked for, the table can be planned", "[unit][steps]") {
    StepWorld world;
    Settings settings;
    settings.python.kind =
        GENERATE(PythonKind::venv, PythonKind::miniforge, PythonKind::anaconda, PythonKind::none);
    settings.jupyter.interface = GENERATE(JupyterInterface::lab, JupyterInterface::notebook);
    const bool on_gce = GENERATE(true, false);
    const MachineFacts facts = vm();
    const auto steps = make_steps(settings, on_gce ? &facts : nullptr, world.ports());
    CHECK(Plan::make(traits_of(steps)).has_value());
    for (const auto& step : steps) {
        INFO(step.traits.id);
        CHECK(step.guarantee != nullptr);
        CHECK(step.traits.deadline > std::chrono::seconds{0});
        CHECK(step.traits.attempts >= 1);
    }
}

TEST_CASE("catalog: the steps, and what a new instance makes anew", "[unit][steps]") {
    StepWorld world;
    Words of_the_instance;
    Words ids;
    for (const auto& step : traits_of(make_steps(Settings{}, nullptr, world.ports()))) {
        ids.push_back(step.id);
        if (step.scope == Scope::instance)
            of_the_instance.push_back(step.id);
    }
    CHECK(ids == Words{"disk_space",
                       "service_user",
                       "apt_repositories",
                       "apt_packages",
                       "tls_certificate",
                       "python",
                       "python_packages",
                       "jupyter_token",
                       "jupyter_config",
                       "front",
                       "jupyter_unit",
                       "ready"});
    CHECK(of_the_instance == Words{"tls_certificate", "jupyter_token", "jupyter_config"});
}

TEST_CASE("catalog: without Python there is no Jupyter to make", "[unit][steps]") {
    StepWorld world;
    Settings settings;
    settings.python.kind = PythonKind::none;
    settings.apt.packages = {"git"};
    const auto steps = make_steps(settings, nullptr, world.ports());
    for (const auto& step : steps)
        for (const std::string id : {"python", "python_packages", "jupyter_unit", "ready"})
            CHECK(step.traits.id != id);
    CHECK(fingerprint_of(steps, "apt_packages") == "git");
}

TEST_CASE("catalog: what the interface needs is asked for once", "[unit][steps]") {
    StepWorld world;
    const auto fingerprint = [&](JupyterInterface interface, Words packages) {
        Settings settings;
        settings.jupyter.interface = interface;
        settings.python.packages = std::move(packages);
        return fingerprint_of(make_steps(settings, nullptr, world.ports()), "python_packages");
    };
    using enum JupyterInterface;
    CHECK(fingerprint(lab, {"pandas"}) == fingerprint(lab, {"pandas", "jupyterlab"}));
    CHECK(fingerprint(lab, {"pandas"}) != fingerprint(notebook, {"pandas", "jupyterlab"}));
    CHECK(fingerprint(notebook, {"pandas"}) == fingerprint(notebook, {"notebook", "pandas"}));
    CHECK(fingerprint(lab, {"JupyterLab>=4"}) != fingerprint(lab, {"JupyterLab>=4", "jupyterlab"}));
    CHECK(fingerprint_of(make_steps(Settings{}, nullptr, world.ports()), "apt_packages") ==
          "python3-venv");
}

TEST_CASE("catalog: further environments keep nobody waiting, and may fail", "[unit][steps]") {
    StepWorld world;
    Settings settings;
    settings.python.version = "3.12";
    for (const auto& [name, version] :
         {std::pair{"a", ""}, std::pair{"b", "3.9"}, std::pair{"c", "3.9"}, std::pair{"d", "3.12"}})
        settings.python.environments.push_back({name, version});
    const auto steps = make_steps(settings, nullptr, world.ports());
    CHECK(fingerprint_of(steps, "apt_packages") == "python3.12-venv");
    CHECK(fingerprint_of(steps, "system_python:3.9") == "python3.9-venv");
    std::map<std::string, Words> needs;
    for (const auto& traits : traits_of(steps)) {
        for (const std::string& need : traits.needs)
            if (need.starts_with("environment:") || need.starts_with("system_python:"))
                CHECK(traits.importance == Importance::optional);
        if (!traits.id.starts_with("environment:"))
            continue;
        CHECK(traits.importance == Importance::optional);
        needs[traits.id] = traits.needs;
    }
    CHECK(needs == std::map<std::string, Words>{{"environment:a", {"python"}},
                                                {"environment:b", {"python", "system_python:3.9"}},
                                                {"environment:c", {"python", "system_python:3.9"}},
                                                {"environment:d", {"python"}}});
}

TEST_CASE("catalog: the certificate names every way to the machine", "[unit][steps]") {
    StepWorld world;
    Settings settings;
    settings.tls.names = {"jupyter.example.com"};
    const MachineFacts facts = vm();
    const std::string names =
        fingerprint_of(make_steps(settings, &facts, world.ports()), "tls_certificate");
    for (const std::string name : {"localhost",
                                   "127.0.0.1",
                                   "jupyter.example.com",
                                   "10.132.0.2",
                                   "203.0.113.7",
                                   "vm-1",
                                   "vm-1.europe-west1-b.c.project.internal"})
        CHECK_THAT(names, ContainsSubstring(name));
}

TEST_CASE("catalog: without a password the front is for this machine alone", "[unit][steps]") {
    StepWorld world;
    CHECK_THAT(fingerprint_of(make_steps(Settings{}, nullptr, world.ports()), "front"),
               ContainsSubstring("this machine"));
    CHECK_THAT(fingerprint_of(make_steps(with_password(), nullptr, world.ports()), "front"),
               ContainsSubstring("everywhere"));
}

TEST_CASE("catalog: no fingerprint tells the password's hash", "[unit][steps]") {
    StepWorld world;
    for (const auto& step : make_steps(with_password(), nullptr, world.ports()))
        CHECK_THAT(step.guarantee->fingerprint(), !ContainsSubstring("geheim"));
}

TEST_CASE("catalog: the address is the one that a person can type", "[unit][steps]") {
    struct Row {
        bool password;
        Words external;
        Words internal;
        std::uint16_t port;
        std::string url;
    };
    const auto row =
        GENERATE(Row{true, {"203.0.113.7"}, {"10.0.0.2"}, 8888, "https://203.0.113.7:8888/"},
                 Row{true, {}, {"10.0.0.2"}, 8888, "https://10.0.0.2:8888/"},
                 Row{true, {}, {}, 8888, "https://127.0.0.1:8888/"},
                 Row{true, {"203.0.113.7"}, {"10.0.0.2"}, 443, "https://203.0.113.7/"},
                 Row{true, {"2001:db8::1"}, {}, 8888, "https://[2001:db8::1]:8888/"},
                 Row{false, {"203.0.113.7"}, {"10.0.0.2"}, 8888, "https://127.0.0.1:8888/"});
    Settings settings = row.password ? with_password() : Settings{};
    settings.jupyter.port = row.port;
    MachineFacts facts;
    facts.external_addresses = row.external;
    facts.internal_addresses = row.internal;
    CHECK(jupyter_url(settings, &facts) == row.url);
}

TEST_CASE("catalog: off the cloud the machine knows no address but its own", "[unit][steps]") {
    CHECK(jupyter_url(with_password(), nullptr) == "https://127.0.0.1:8888/");
}

TEST_CASE("catalog: who fetches first knows that there is room, and from where", "[unit][steps]") {
    StepWorld world;
    for (const auto& step : traits_of(make_steps(Settings{}, nullptr, world.ports()))) {
        const auto needs = [&](const std::string& id) {
            return std::find(step.needs.begin(), step.needs.end(), id) != step.needs.end();
        };
        if (step.id == "apt_repositories" || step.id == "apt_packages")
            CHECK(needs("disk_space"));
        if (step.id == "apt_packages")
            CHECK(needs("apt_repositories"));
        if (step.id == "python")
            CHECK(needs("apt_packages"));
    }
}

TEST_CASE("catalog: the network of the configuration reaches apt, the installer and Jupyter",
          "[unit][steps]") {
    StepWorld world;
    world.accounts.add("jupyter");
    world.put("/etc/company.pem", "-----BEGIN CERTIFICATE-----\n");
    world.put("/run/agent/status.json", "{}\n");
    Settings settings;
    settings.network.proxy = "http://proxy.example.com:3128";
    settings.network.ca_certificates = "/etc/company.pem";
    world.commands.when([](const Command&) { return true; }).exits(1);
    for (const auto& step : make_steps(settings, nullptr, world.ports()))
        if (step.traits.id == "apt_packages" || step.traits.id == "python_packages")
            CHECK(world.apply(*step.guarantee).has_error());
    for (const std::string word : {"update", "download"}) {
        INFO(word);
        const auto ran = world.commands.all_with(word);
        REQUIRE(ran.size() == 1);
        CHECK(ran[0].environment.at("https_proxy") == "http://proxy.example.com:3128");
        CHECK(ran[0].environment.at("PIP_CERT") == "/etc/company.pem");
    }
}

TEST_CASE(
    "catalog: conda's installer comes while apt is at work, and asks for no Python of Debian's",
    "[unit][steps]") {
    StepWorld world;
    Settings settings;
    settings.python.kind = PythonKind::miniforge;
    settings.python.installer = "https://example.com/Miniforge3-Linux-x86_64.sh";
    const auto steps = make_steps(settings, nullptr, world.ports());
    const auto needs = [&](const std::string& id) {
        for (const auto& step : steps)
            if (step.traits.id == id)
                return step.traits.needs;
        FAIL("no step " + id);
        return Words{};
    };
    CHECK(needs("python") == Words{"service_user", "disk_space"});
    CHECK(needs("conda_packages") == Words{"python"});
    CHECK(needs("shell_setup") == Words{"python"});
    CHECK(needs("python_packages") == Words{"conda_packages", "apt_packages"});
    CHECK(fingerprint_of(steps, "apt_packages").find("python3-venv") == std::string::npos);
    CHECK(fingerprint_of(steps, "python").starts_with("conda "));
}

TEST_CASE("catalog: with conda, a named environment is conda's own, and its marks are root's",
          "[unit][steps]") {
    StepWorld world;
    Settings settings;
    settings.python.kind = PythonKind::miniforge;
    settings.python.prefix = "/opt/miniforge3";
    settings.python.installer = "https://example.com/Miniforge3-Linux-x86_64.sh";
    settings.python.environments = {{.name = "old", .version = "3.9"},
                                    {.name = "older", .conda_packages = {"python=3.8", "gdal"}}};
    const auto steps = make_steps(settings, nullptr, world.ports());
    for (const auto& step : steps) {
        CHECK_FALSE(step.traits.id.starts_with("system_python"));
        if (!step.traits.id.starts_with("environment:"))
            continue;
        CHECK(step.traits.needs == Words{"conda_packages", "apt_packages"});
        CHECK(step.traits.importance == Importance::optional);
    }
    CHECK(fingerprint_of(steps, "environment:old") != fingerprint_of(steps, "environment:older"));
    CHECK(beside_prefix("/opt/miniforge3/envs/old", "python") ==
          "/opt/.miniforge3.agent-envs.old-python");
    CHECK(beside_prefix("/opt/jupyter-envs/old", "") == "/opt/jupyter-envs/.old.agent");
    CHECK(beside_prefix("/srv/envs/old", "") == "/srv/envs/.old.agent");
}

TEST_CASE("catalog: who asks for the user's account comes after the account", "[unit][steps]") {
    StepWorld world;
    for (const auto& step : make_steps(Settings{}, nullptr, world.ports()))
        if (step.traits.id == "front" || step.traits.id == "python")
            CHECK(std::count(step.traits.needs.begin(), step.traits.needs.end(), "service_user") ==
                  1);
}
