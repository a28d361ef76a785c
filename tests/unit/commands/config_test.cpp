#include "agent/commands/config.hpp"
#include "agent/ports/documents.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sstream>
#include <string>
#include <vector>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

namespace {

const std::string file = "/etc/agent/agent.toml";
const std::string drop_in = "/etc/agent/agent.d/10.toml";
const std::string hash =
    "argon2:$argon2id$v=19$m=10240,t=10,p=8$c29tZXNhbHRzb21lc2FsdA$wGXBZ8JGNJl9l5QqYGmvAw";
const std::string armoured = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"
                             "mDMEZZZZZhYJKwYBBAHaRw8BAQdAexample\n"
                             "-----END PGP PUBLIC KEY BLOCK-----\n";

struct Told {
    int exit_code = 0;
    std::string out;
    std::string err;
};

Told config(const std::vector<ConfigSource>& sources, const ConfigOptions& options = {}) {
    std::ostringstream out;
    std::ostringstream err;
    const int exit_code = config_command({sources, {}}, options, out, err);
    return {exit_code, out.str(), err.str()};
}

std::vector<ConfigSource> two_repositories() {
    return {{file,
             "schema = 1\n"
             "[[apt.repository]]\nname = \"a\"\nurl = \"https://a.example/apt\"\n"
             "suite = \"{codename}\"\ncomponents = [\"main\", \"contrib\"]\n"
             "keyring = \"/usr/share/keyrings/a.gpg\"\n"
             "[[apt.repository]]\nname = \"b\"\nurl = \"https://b.example/apt\"\n"
             "suite = \"./\"\nkey = '''\n" +
                 armoured + "'''\n"}};
}

} // namespace

TEST_CASE("config: every value stands with where it was said and what it overruled",
          "[unit][commands]") {
    const auto told =
        config({{file, "schema = 1\n[jupyter]\nport = 9999\ninterface = \"notebook\"\n"},
                {drop_in, "[jupyter]\nport = 9998\n"},
                {instance_source, "[jupyter]\nport = 9000\npassword_hash = \"" + hash + "\"\n"}});
    CHECK(told.exit_code == 0);
    CHECK(told.err.empty());
    CHECK_THAT(
        told.out,
        ContainsSubstring("# The merged configuration of this machine; a later source wins:\n"
                          "#   /etc/agent/agent.toml\n"
                          "#   /etc/agent/agent.d/10.toml\n"
                          "#   metadata:instance/attributes/agent-config\n"
                          "\n"
                          "schema = 1  # /etc/agent/agent.toml:1:1\n"));
    CHECK_THAT(told.out,
               ContainsSubstring(
                   "[jupyter]\n"
                   "allow_sudo = false      # default\n"
                   "# directory is not set\n"
                   "interface = \"notebook\"  # /etc/agent/agent.toml:4:1\n"
                   "password_hash = \"***\"   # metadata:instance/attributes/agent-config:3:1\n"
                   "port = 9000             # metadata:instance/attributes/agent-config:2:1\n"
                   "                        # overrides 9998 at /etc/agent/agent.d/10.toml:2:1\n"
                   "                        # overrides 9999 at /etc/agent/agent.toml:3:1\n"));
    CHECK(told.out.find("argon2") == std::string::npos);
}

TEST_CASE("config: secrets are masked where they are overruled as well", "[unit][commands]") {
    const std::string other = "sha256:0123456789abcdef:" + std::string(64, 'a');
    const std::vector<ConfigSource> sources{
        {file, "schema = 1\n[jupyter]\npassword_hash = \"" + hash + "\"\n"},
        {drop_in, "[jupyter]\npassword_hash = \"" + other + "\"\n"}};
    for (const bool json : {false, true}) {
        const auto told = config(sources, {.json = json});
        CHECK(told.out.find("argon2") == std::string::npos);
        CHECK(told.out.find("sha256:") == std::string::npos);
        CHECK(told.out.find("c29tZXNhbHRzb21lc2FsdA") == std::string::npos);
    }
    CHECK_THAT(config(sources).out,
               ContainsSubstring("# overrides \"***\" at /etc/agent/agent.toml:3:1\n"));
}

TEST_CASE("config: a source that says the same overrules nothing", "[unit][commands]") {
    const auto told = config(
        {{file, "schema = 1\n[jupyter]\nport = 9000\n"}, {drop_in, "[jupyter]\nport = 9000\n"}});
    CHECK_THAT(told.out, ContainsSubstring("port = 9000"));
    CHECK(told.out.find("overrides") == std::string::npos);
}

TEST_CASE("config: an array of tables is shown element by element, and replaced as a whole",
          "[unit][commands]") {
    auto sources = two_repositories();
    CHECK_THAT(config(sources).out,
               ContainsSubstring("[[apt.repository]]             # /etc/agent/agent.toml:2:1\n"
                                 "name = \"a\"                     # /etc/agent/agent.toml:3:1\n"));
    CHECK_THAT(config(sources).out,
               ContainsSubstring("key = '''\n" + armoured +
                                 "'''                            "
                                 "# /etc/agent/agent.toml:12:1\n"));

    sources.push_back({drop_in,
                       "[[apt.repository]]\nname = \"c\"\nurl = \"https://c.example/apt\"\n"
                       "suite = \"./\"\nkeyring = \"/usr/share/keyrings/c.gpg\"\n"});
    const auto replaced = config(sources).out;
    CHECK(replaced.find("a.example") == std::string::npos);
    CHECK_THAT(replaced, ContainsSubstring("# overrides 2 tables at /etc/agent/agent.toml:2:7\n"));

    sources.push_back({instance_source, "[apt]\nrepository = []\n"});
    const auto emptied = config(sources).out;
    CHECK(emptied.find("[[apt.repository]]") == std::string::npos);
    CHECK_THAT(emptied,
               ContainsSubstring("repository = []  # metadata:instance/attributes/"
                                 "agent-config:2:1\n"
                                 "                 # overrides 1 table at "
                                 "/etc/agent/agent.d/10.toml:1:7\n"));
}

TEST_CASE("config: what is printed is a configuration that says the same", "[unit][commands]") {
    auto sources = two_repositories();
    sources.push_back({drop_in,
                       "[machine]\nuser = \"ada\"\n"
                       "[python]\npackages = [\"jupyterlab\", \"pandas>=2,<3\", "
                       "\"dask[complete]\", \"scikit-learn\", \"matplotlib\"]\n"
                       "[network]\nproxy = \"http://proxy.example.com:3128\"\n"
                       "no_proxy = [\".example.com\"]\n[tls]\nnames = [\"h.example\"]\n"});
    const std::string printed = config(sources).out;
    const std::vector<ConfigSource> again{{"printed", printed}};
    const auto read = read_configuration(again);
    for (const Diagnostic& diagnostic : read.diagnostics)
        FAIL_CHECK(one_line(diagnostic));
    const auto merged = read_configuration(sources).merged;
    REQUIRE(read.merged.size() == merged.size());
    for (std::size_t i = 0; i < merged.size(); ++i) {
        REQUIRE(read.merged[i].keys.size() == merged[i].keys.size());
        for (std::size_t k = 0; k < merged[i].keys.size(); ++k) {
            INFO(merged[i].name << "." << merged[i].keys[k].name);
            CHECK(write_json(read.merged[i].keys[k].value) == write_json(merged[i].keys[k].value));
        }
    }
}

TEST_CASE("config: an invalid configuration is told as `agent check` tells it, with exit 1",
          "[unit][commands]") {
    const std::vector<ConfigSource> sources{{file, "[jupyter]\nport = 1\n"},
                                            {drop_in, "[jupyter]\nprot = 1\n"}};
    const auto told = config(sources);
    CHECK(told.exit_code == 1);
    CHECK(told.out.empty());
    CHECK_THAT(told.err,
               ContainsSubstring("error[E1205]") && ContainsSubstring("error[E1204]") &&
                   ContainsSubstring(" 2 | port = 1\n") &&
                   ContainsSubstring("the configuration is not valid: 2 errors\n"));
    const auto json = config(sources, {.json = true});
    CHECK(json.exit_code == 1);
    CHECK(json.err.empty());
    CHECK(json.out.starts_with("{\"valid\":false,"));
}

TEST_CASE("config: notes and warnings are told beside the configuration", "[unit][commands]") {
    GatheredSources gathered{{{file, "schema = 1\n[jupyter]\nallow_sudo = true\n"}}, {}};
    Diagnostic note;
    note.source = project_source;
    note.code = "N1502";
    note.message = "ignored";
    note.severity = Severity::note;
    gathered.notes.push_back(note);
    std::ostringstream out;
    std::ostringstream err;
    CHECK(config_command(gathered, {}, out, err) == 0);
    CHECK_THAT(err.str(),
               ContainsSubstring("note[N1502]: ignored\n"
                                 "  --> metadata:project/attributes/agent-config\n") &&
                   ContainsSubstring("warning[W1401]"));
    CHECK_THAT(out.str(), ContainsSubstring("allow_sudo = true"));
}

TEST_CASE("config: for machines it is one JSON object", "[unit][commands]") {
    const auto told = config(
        {{file, "schema = 1\n[jupyter]\nport = 9999\n"}, {drop_in, "[jupyter]\nport = 9000\n"}},
        {.json = true});
    CHECK(told.exit_code == 0);
    const auto parsed = parse_json(told.out);
    REQUIRE(parsed.has_value());
    CHECK(parsed->find("valid")->as_bool());
    CHECK(parsed->find("sources")->as_array()->size() == 2);
    CHECK_THAT(
        told.out,
        ContainsSubstring(R"({"key":"jupyter.port","value":9000,"origin":{"source":)"
                          R"("/etc/agent/agent.d/10.toml","line":2,"column":1},"overrides":[)"
                          R"({"value":9999,"origin":{"source":"/etc/agent/agent.toml","line":3,)"
                          R"("column":1}}]})"));
    CHECK_THAT(told.out,
               ContainsSubstring(
                   R"({"key":"python.index_url","value":null,"origin":null,"overrides":[]})"));
}
