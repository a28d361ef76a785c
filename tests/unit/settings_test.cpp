#include "agent/settings.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

using agent::Colours;
using agent::ConfigErrors;
using agent::ConfigSource;
using agent::Diagnostic;
using agent::read_settings;
using agent::render;
using agent::Settings;

namespace {

const std::string file_name = "/etc/agent/agent.toml";
const std::string metadata_name = "metadata:instance/attributes/agent-config";

// What `agent password` made of "correct horse".
const std::string argon2_hash = "argon2:$argon2id$v=19$m=10240,t=10,p=8$"
                                "c29tZXNhbHRzb21lc2FsdA$"
                                "wGXBZ8JGNJl9l5QqYGmvAw";

const std::string armoured = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
                             "Comment: an example\n"
                             "\n"
                             "mDMEZZZZZhYJKwYBBAHaRw8BAQdAexample\n"
                             "=abcd\n"
                             "-----END PGP PUBLIC KEY BLOCK-----\n";

std::vector<ConfigSource> one(std::string text) {
    return {{file_name, std::move(text)}};
}

Settings accepted(const std::vector<ConfigSource>& sources) {
    auto read = read_settings(sources);
    if (const auto* errors = std::get_if<ConfigErrors>(&read))
        FAIL(agent::summarise(*errors));
    return std::get<Settings>(std::move(read));
}

std::vector<Diagnostic> refused(const std::vector<ConfigSource>& sources) {
    auto read = read_settings(sources);
    REQUIRE(std::holds_alternative<ConfigErrors>(read));
    return std::get<ConfigErrors>(std::move(read)).diagnostics;
}

std::string rendered(const std::vector<ConfigSource>& sources) {
    std::string all;
    for (const Diagnostic& diagnostic : refused(sources))
        all += render(diagnostic, sources, Colours::off);
    return all;
}

// "E1204 2:1 4 unknown key …" — what a table of cases compares.
std::string brief(const Diagnostic& diagnostic) {
    return diagnostic.code + " " + std::to_string(diagnostic.position.line) + ":" +
           std::to_string(diagnostic.position.column) + " " + std::to_string(diagnostic.width) +
           " " + diagnostic.message;
}

struct Case {
    std::string text;
    std::string brief;
    std::string hint;
};

void check_refused(const Case& wrong) {
    CAPTURE(wrong.text.substr(0, 200));
    const auto diagnostics = refused(one(wrong.text));
    REQUIRE(diagnostics.size() == 1);
    CHECK(brief(diagnostics.front()) == wrong.brief);
    const std::string& hint = diagnostics.front().hint;
    // What follows is a list that grows with the schema.
    if (wrong.hint.ends_with("..."))
        CHECK(hint.starts_with(wrong.hint.substr(0, wrong.hint.size() - 3)));
    else
        CHECK(hint == wrong.hint);
}

std::string repeated(const std::string& text, std::size_t times) {
    std::string out;
    for (std::size_t i = 0; i < times; ++i)
        out += text;
    return out;
}

const std::string make_a_hash =
    "`agent password` reads a password and prints the hash to write here";

} // namespace

TEST_CASE("settings: every key is read", "[unit][settings]") {
    const Settings settings = accepted(one("schema = 1\n"
                                           "[machine]\n"
                                           "user = \"ada\"\n"
                                           "[apt]\n"
                                           "packages = [\"g++\", \"libgl1=1.6.0-1\"]\n"
                                           "[[apt.repository]]\n"
                                           "name = \"a\"\n"
                                           "url = \"https://a.example/apt\"\n"
                                           "suite = \"{codename}\"\n"
                                           "components = [\"main\", \"contrib\"]\n"
                                           "keyring = \"/usr/share/keyrings/a.gpg\"\n"
                                           "[[apt.repository]]\n"
                                           "name = \"b\"\n"
                                           "url = \"http://b.example:8080\"\n"
                                           "suite = \"./\"\n"
                                           "key = '''\n" +
                                           armoured +
                                           "'''\n"
                                           "[metadata]\n"
                                           "project_config = true\n"
                                           "[network]\n"
                                           "proxy = \"http://[fd00::1]:3128\"\n"
                                           "no_proxy = [\"a.example\", \".b.example\"]\n"
                                           "ca_certificates = \"/etc/ssl/ca.pem\"\n"
                                           "[python]\n"
                                           "kind = \"venv\"\n"
                                           "prefix = \"/srv/py\"\n"
                                           "packages = [\"Pandas >= 2, <3\", \"dask[complete]\"]\n"
                                           "index_url = \"https://pypi.example.com:8443/simple/\"\n"
                                           "version = \"3.12\"\n"
                                           "requirements = \"/etc/r.txt\"\n"
                                           "constraints = \"/etc/c.txt\"\n"
                                           "[[python.index]]\n"
                                           "name = \"torch-cpu\"\n"
                                           "url = \"https://i.example.com/whl/cpu\"\n"
                                           "packages = [\"Torch\", \"torch.vision\"]\n"
                                           "[[python.environment]]\n"
                                           "name = \"old\"\n"
                                           "version = \"3.9\"\n"
                                           "packages = [\"numpy ; python_version<'3.9'\", "
                                           "\"numpy>2;python_version >= '3.9'\"]\n"
                                           "requirements = \"/etc/old.txt\"\n"
                                           "constraints = \"/etc/old-c.txt\"\n"
                                           "[jupyter]\n"
                                           "interface = \"notebook\"\n"
                                           "directory = \"work\"\n"
                                           "port = 443\n"
                                           "allow_sudo = true\n"
                                           "password_hash = \"" +
                                           argon2_hash +
                                           "\"\n"
                                           "[tls]\n"
                                           "names = [\"j.example.com\", \"203.0.113.7\", \"::1\"]\n"
                                           "[report]\n"
                                           "guest_attributes = false\n"));
    CHECK(settings.machine.user == "ada");
    CHECK(settings.apt.packages == std::vector<std::string>{"g++", "libgl1=1.6.0-1"});
    REQUIRE(settings.apt.repositories.size() == 2);
    const auto& a = settings.apt.repositories[0];
    CHECK(a.name == "a");
    CHECK(a.url == "https://a.example/apt");
    CHECK(a.suite == "{codename}");
    CHECK(a.components == std::vector<std::string>{"main", "contrib"});
    CHECK(a.key.empty());
    CHECK(a.keyring == "/usr/share/keyrings/a.gpg");
    const auto& b = settings.apt.repositories[1];
    CHECK(b.name == "b");
    CHECK(b.url == "http://b.example:8080");
    CHECK(b.suite == "./");
    CHECK(b.components.empty());
    CHECK(b.key == armoured);
    CHECK(b.keyring.empty());
    CHECK(settings.metadata.project_config);
    CHECK(settings.network.proxy == "http://[fd00::1]:3128");
    CHECK(settings.network.no_proxy == std::vector<std::string>{"a.example", ".b.example"});
    CHECK(settings.network.ca_certificates == "/etc/ssl/ca.pem");
    CHECK(settings.jupyter.allow_sudo);
    CHECK(settings.python.kind == agent::PythonKind::venv);
    CHECK(settings.python.prefix == "/srv/py");
    CHECK(settings.python.packages == std::vector<std::string>{"Pandas>=2,<3", "dask[complete]"});
    CHECK(settings.python.index_url == "https://pypi.example.com:8443/simple/");
    CHECK(settings.python.version == "3.12");
    CHECK(settings.python.requirements == "/etc/r.txt");
    CHECK(settings.python.constraints == "/etc/c.txt");
    REQUIRE(settings.python.indexes.size() == 1);
    const auto& index = settings.python.indexes.front();
    CHECK(index.name == "torch-cpu");
    CHECK(index.url == "https://i.example.com/whl/cpu");
    CHECK(index.packages == std::vector<std::string>{"torch", "torch-vision"});
    REQUIRE(settings.python.environments.size() == 1);
    const auto& old = settings.python.environments.front();
    CHECK(old.name == "old");
    CHECK(old.version == "3.9");
    CHECK(old.packages == std::vector<std::string>{"numpy; python_version<'3.9'",
                                                   "numpy>2; python_version >= '3.9'"});
    CHECK(old.requirements == "/etc/old.txt");
    CHECK(old.constraints == "/etc/old-c.txt");
    CHECK(settings.jupyter.interface == agent::JupyterInterface::notebook);
    CHECK(settings.jupyter.directory == "work");
    CHECK(settings.jupyter.port == 443);
    CHECK(settings.jupyter.password_hash == argon2_hash);
    CHECK(settings.tls.names == std::vector<std::string>{"j.example.com", "203.0.113.7", "::1"});
    CHECK_FALSE(settings.report.guest_attributes);
    CHECK(settings.sha256.size() == 64);
}

TEST_CASE("settings: `schema = 1` alone takes every default", "[unit][settings]") {
    const Settings settings = accepted(one("schema = 1"));
    CHECK(settings.machine.user == "jupyter");
    CHECK(settings.python.prefix == "/opt/jupyter");
    CHECK(settings.jupyter.port == 8888);
    CHECK(settings.jupyter.password_hash.empty());
    CHECK(settings.report.guest_attributes);
}

TEST_CASE("settings: what sets no key is no configuration, and nothing is installed silently",
          "[unit][settings]") {
    const std::string text =
        GENERATE(as<std::string>{}, "", "\n \n", "# port = 1\n", "\xEF\xBB\xBF", "[jupyter]\n");
    const auto diagnostics = refused(one(text));
    REQUIRE(diagnostics.size() == 1);
    CHECK(brief(diagnostics.front()) ==
          "E1001 0:0 1 no configuration: no key is set in /etc/agent/agent.toml");
    CHECK(refused({}).front().code == "E1001");
    CHECK(accepted({{file_name, text}, {metadata_name, "schema = 1"}}).jupyter.port == 8888);
}

TEST_CASE("settings: a later source wins key by key, and its lists replace", "[unit][settings]") {
    const std::vector<ConfigSource> sources{
        {file_name,
         "[machine]\nuser = \"ada\"\n[python]\npackages = [\"a1\", \"b1\"]\n"
         "[jupyter]\nport = 9000\n"},
        {"/etc/agent/agent.d/10.toml", "[jupyter]\nport = 9001\ndirectory = \"work\"\n"},
        {metadata_name, "[python]\npackages = [\"c1\"]\n"}};
    const Settings settings = accepted(sources);
    CHECK(settings.machine.user == "ada");
    CHECK(settings.python.packages == std::vector<std::string>{"c1"});
    CHECK(settings.jupyter.port == 9001);
    CHECK(settings.jupyter.directory == "work");
}

TEST_CASE("settings: the digest tells sources apart by name, text and order", "[unit][settings]") {
    const ConfigSource a{"a", "schema = 1"};
    const ConfigSource b{"b", "schema = 1"};
    const std::string digest = accepted({a, b}).sha256;
    CHECK(digest == accepted({a, b}).sha256);
    CHECK(digest != accepted({b, a}).sha256);
    CHECK(digest != accepted({a}).sha256);
    CHECK(digest != accepted({a, {"b", "schema = 1\n"}}).sha256);
}

TEST_CASE("settings: every error of every source is told at once, in order", "[unit][settings]") {
    const std::vector<ConfigSource> sources{
        {file_name, "[jupyter]\nport = 1\n[machine]\nuser = \"root\"\n[jupiter]\nport = 1\n"},
        {"/etc/agent/agent.d/10.toml", "a = \"x"},
        {metadata_name, "[tls]\nnames = [\"*.a\"]\n[apt]\npackages = \"x\"\n"}};
    std::vector<std::string> found;
    for (const Diagnostic& diagnostic : refused(sources))
        found.push_back(diagnostic.source + " " + diagnostic.code);
    CHECK(found == std::vector<std::string>{file_name + " E1205",
                                            file_name + " E1301",
                                            file_name + " E1202",
                                            "/etc/agent/agent.d/10.toml E1103",
                                            metadata_name + " E1309",
                                            metadata_name + " E1201"});
    const auto read = read_settings(sources);
    CHECK(agent::summarise(std::get<ConfigErrors>(read)) ==
          "/etc/agent/agent.toml:2:8: `jupyter.port`: expected 443 or 1024 to 65535, found 1 "
          "(and 5 more errors)");
}

TEST_CASE("settings: a document of nothing but mistakes gets a bounded answer",
          "[unit][settings]") {
    std::string text = "[jupyter]\n";
    for (int i = 0; i < 3000; ++i)
        text += "a" + std::to_string(i) + " = 1\n";
    const auto diagnostics = refused(one(text));
    REQUIRE(diagnostics.size() == 101);
    CHECK(diagnostics.back().message == "too many errors: 2900 more are not shown");
}

TEST_CASE("settings: syntax errors carry their own codes", "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"schema = 1\nschema = 1",
         "E1102 2:1 6 the key `schema` is defined twice: first at line 1, column 1",
         "keep one of the two"},
        {"[tls]\n[tls]",
         "E1102 2:2 3 the table `tls` is defined twice: first at line 1, column 2",
         "keep one of the two"},
        {"[machine]\nuser = \"ada",
         "E1103 2:8 1 the string is not closed before the end of its line",
         "close it with `\"`"},
        {"[apt]\npackages = [\"a\",\n",
         "E1103 2:12 1 this `[` is never closed: the array runs on to line 3",
         "close it with `]`"},
        {"[jupyter]\ndirectory = \"C:\\dir\"",
         "E1104 2:16 2 a backslash in \"…\" begins an escape, and this is none",
         "use 'single quotes' for text with backslashes, or write `\\\\`"},
        {"[jupyter]\nport = 08888",
         "E1105 2:8 5 a number has no leading zero",
         "remove the leading zero, or write text in quotes"},
        {"[jupyter]\nport = 99999999999999999999",
         "E1105 2:8 20 the number is too large: it does not fit 64 bits",
         ""},
        {"[jupyter]\nport = 2024-13-40",
         "E1105 2:8 10 neither a number, a date nor a boolean",
         "text goes in quotes: \"…\""},
        {"[report]\nguest_attributes = True",
         "E1106 2:20 4 a boolean is `true` or `false`, in lower case and without quotes",
         "write true"},
        {"[report]\nguest_attributes = no",
         "E1106 2:20 2 a boolean is `true` or `false`, in lower case and without quotes",
         "write false"},
        {"[machine]\nuser = ada",
         "E1106 2:8 3 text needs quotes",
         "write it in plain quotes: \"…\""},
        {"[machine]\nuser = \xE2\x80\x9C"
         "ada\xE2\x80\x9D",
         "E1106 2:8 1 typographic quotes are no quotes in TOML",
         "use plain quotes: \"…\""},
        {"a = " + repeated("[", 5000),
         "E1107 1:69 1 the document is nested deeper than 64 levels",
         ""},
        {"a = " + repeated("{a=", 3000),
         "E1107 1:195 1 the document is nested deeper than 64 levels",
         ""},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: a byte order mark, CRLF, tabs and no last newline are accepted",
          "[unit][settings]") {
    CHECK(accepted(one("\xEF\xBB\xBF[jupyter]\r\n\tport\t=\t9000")).jupyter.port == 9000);
}

TEST_CASE("settings: what is no UTF-8 text is refused with the place", "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"\xFF\xFE[\0j\0", "E1003 0:0 1 this is UTF-16, not UTF-8", "save the document as UTF-8"},
        {std::string{"[\0j\0u\0p\0]\0", 10},
         "E1003 0:0 1 this looks like UTF-16, not UTF-8",
         "save the document as UTF-8"},
        {"# caf\xC3\xA9\n# \xE9t\xE9\n",
         "E1003 2:3 1 the document is not UTF-8: it holds the byte 0xe9",
         "save the document as UTF-8"},
        {std::string{"schema = 1\n# \0", 14},
         "E1003 2:3 1 the document holds a NUL byte",
         "save the document as UTF-8 text"},
        {"schema = 1\n# \x01", "E1101 2:3 1 not valid TOML in a comment", ""},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: a document of another kind is recognised, and none of it is shown",
          "[unit][settings]") {
    const auto& [text, what] = GENERATE(table<std::string, std::string>({
        {"#cloud-config\npackages: [CANARY]\n", "cloud-init user data"},
        {"#!/bin/bash\nCANARY\n", "a script"},
        {"{\"jupyter\": {\"password\": \"CANARY\"}}", "JSON"},
        {"[{\"a\": \"CANARY\"}]", "JSON"},
        {"{\"ignition\": {\"version\": \"3.0.0\"}}", "an Ignition configuration"},
        {"---\na: CANARY\n", "YAML"},
        {"# c\njupyter:\n  password: CANARY\n", "YAML"},
        {"<!DOCTYPE html><h1>CANARY</h1>", "HTML or XML, perhaps the error page of a download"},
        {"\x1F\x8B\x08"
         "CANARY",
         "gzip"},
        {"\x7F"
         "ELFCANARY",
         "a binary file"},
        {"-----BEGIN PRIVATE KEY-----\nCANARY\n", "a PEM key or certificate"},
        {"c2NoZW1hID0gMQpbanVweXRlcl0KcG9ydCA9IDg4ODgKCANARY==\n", "base64"},
        {"Content-Type: multipart/mixed; boundary=\"CANARY\"\n", "a MIME document"},
    }));
    CAPTURE(text);
    const auto sources = one(text);
    const auto diagnostics = refused(sources);
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1004");
    CHECK(diagnostics.front().message ==
          "this is " + what + ", not the agent's TOML configuration");
    CHECK(render(diagnostics.front(), sources, Colours::off).find("CANARY") == std::string::npos);
}

TEST_CASE("settings: more than 256 KiB are refused with both numbers", "[unit][settings]") {
    const Case wrong{"# " + repeated("x", 300'000),
                     "E1002 0:0 1 the configuration has 300002 bytes; at most 262144 are read",
                     ""};
    check_refused(wrong);
    CHECK(accepted(one("schema = 1\n# " + repeated("x", 250'000))).jupyter.port == 8888);
}

TEST_CASE("settings: what is too large or too much gets a bounded answer", "[unit][settings]") {
    constexpr std::size_t million = 1'000'000;
    std::string keys;
    for (std::size_t i = 0; i < 100'000; ++i)
        keys += "k" + std::to_string(i) + "=1\n";
    for (const std::string& text : {"# " + repeated("x", million),
                                    "a = \"" + repeated("x", million) + "\"",
                                    keys,
                                    repeated("[", million),
                                    repeated("[a]\n", million / 4)}) {
        CAPTURE(text.substr(0, 20));
        CHECK(refused(one(text)).front().code == "E1002");
    }
    // As large as may be.
    for (const std::string& text : {keys.substr(0, keys.rfind('\n', 250'000)),
                                    "[machine]\nuser = \"" + repeated("x", 250'000) + "\"",
                                    "[apt]\npackages = [" + repeated("1,", 120'000) + "]",
                                    repeated("[[apt.repository]]\n", 13'000),
                                    "a = " + repeated("[", 250'000),
                                    repeated("a.", 120'000) + "a = 1",
                                    "[" + repeated("a.", 120'000) + "a]"}) {
        CAPTURE(text.substr(0, 20));
        const auto sources = one(text);
        const auto diagnostics = refused(sources);
        CHECK(diagnostics.size() <= 101);
        CHECK(render(diagnostics.front(), sources, Colours::off).size() < 1000);
    }
}

TEST_CASE("settings: an unknown name is refused with the nearest one and the known ones",
          "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"[jupyter]\nprot = 8888",
         "E1204 2:1 4 unknown key `jupyter.prot`",
         "did you mean `port`? keys of [jupyter]: ..."},
        {"jupyter.\"prot\" = 8888",
         "E1204 1:9 6 unknown key `jupyter.prot`",
         "did you mean `port`? keys of [jupyter]: ..."},
        {"[report]\nGuest-Attributes = true",
         "E1204 2:1 16 unknown key `report.Guest-Attributes`",
         "did you mean `guest_attributes`? keys of [report]: guest_attributes"},
        {"[machine]\nport = 8888",
         "E1204 2:1 4 unknown key `machine.port`",
         "it belongs to [jupyter]; keys of [machine]: user"},
        {"port = 8888",
         "E1204 1:1 4 unknown key `port`",
         "it belongs to [jupyter]; tables: apt, ..."},
        {"[jupiter]\nport = 8888",
         "E1202 1:2 7 unknown table [jupiter]",
         "did you mean `jupyter`? tables: apt, ..."},
        {"[[bucket]]\nname = \"x\"", "E1202 1:3 6 unknown table [bucket]", "tables: apt, ..."},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: a value of another type is refused, never converted", "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"[jupyter]\nport = \"8888\"",
         "E1201 2:8 6 `jupyter.port`: expected an integer, found a string",
         "write a whole number without quotes: port = 8888"},
        {"[jupyter]\nport = 8888.0",
         "E1201 2:8 6 `jupyter.port`: expected an integer, found a float",
         "write a whole number without quotes: port = 8888"},
        {"[jupyter]\nport = 1e4",
         "E1201 2:8 3 `jupyter.port`: expected an integer, found a float",
         "write a whole number without quotes: port = 8888"},
        {"[jupyter]\nport = nan",
         "E1201 2:8 3 `jupyter.port`: expected an integer, found a float",
         "write a whole number without quotes: port = 8888"},
        {"[jupyter]\nport = 2024-01-02",
         "E1201 2:8 10 `jupyter.port`: expected an integer, found a date",
         "write a whole number without quotes: port = 8888"},
        {"[report]\nguest_attributes = \"true\"",
         "E1201 2:20 6 `report.guest_attributes`: expected a boolean, found a string",
         "write true or false, in lower case and without quotes"},
        {"[machine]\nuser = 7",
         "E1201 2:8 1 `machine.user`: expected a string, found an integer",
         "put it in quotes: \"…\""},
        {"[apt]\npackages = \"curl\"",
         "E1201 2:12 6 `apt.packages`: expected an array, found a string",
         "put it in brackets: [\"…\"]"},
        {"[apt]\npackages = [\"curl\", 1]",
         "E1201 2:21 1 `apt.packages[1]`: expected a string, found an integer",
         "put it in quotes: \"…\""},
        {"[apt.packages]\ncurl = 1",
         "E1201 1:1 1 `apt.packages`: expected an array, found a table",
         ""},
        {"[[jupyter]]\nport = 8888",
         "E1201 1:3 7 `jupyter`: expected a table, found an array",
         "write [jupyter] once, in single brackets"},
        {"jupyter = 8888",
         "E1201 1:1 7 `jupyter`: expected a table, found an integer",
         "write [jupyter] on a line of its own, and its keys below it"},
        {"[jupyter]\npassword_hash = 1234",
         "E1201 2:17 4 `jupyter.password_hash`: expected a string, found an integer",
         make_a_hash},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: numbers and words out of range are refused", "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"schema = 2",
         "E1203 1:10 1 `schema`: this agent reads schema 1, and this is the newer schema 2",
         "upgrade the agent, or write schema = 1"},
        {"schema = 0",
         "E1203 1:10 1 `schema`: this agent reads schema 1, and this is the older schema 0",
         "write schema = 1"},
        {"schema = \"1\"",
         "E1201 1:10 3 `schema`: expected an integer, found a string",
         "write a whole number without quotes: schema = 1, the one that this agent reads"},
        {"[jupyter]\nport = 22",
         "E1205 2:8 2 `jupyter.port`: expected 443 or 1024 to 65535, found 22",
         "22 is SSH's"},
        {"[jupyter]\nport = -1",
         "E1205 2:8 2 `jupyter.port`: expected 443 or 1024 to 65535, found -1",
         "write 443, or one such as 8888"},
        {"[jupyter]\nport = 70000",
         "E1205 2:8 5 `jupyter.port`: expected 443 or 1024 to 65535, found 70000",
         "write 443, or one such as 8888"},
        {"[python]\nkind = \"Venv\"",
         "E1206 2:8 6 `python.kind`: expected \"anaconda\" or \"miniforge\" or \"venv\" or "
         "\"none\", found `Venv`",
         "did you mean `venv`? write \"anaconda\" or \"miniforge\" or \"venv\" or \"none\""},
        {"[jupyter]\ninterface = \"classic\"",
         "E1206 2:13 9 `jupyter.interface`: expected \"lab\" or \"notebook\", found `classic`",
         "write \"lab\" or \"notebook\""},
        {"[python]\nkind = \"none\"\npackages = [\"pandas\"]",
         "E1207 3:12 1 `python.packages` would never be installed: `python.kind` is \"none\" at "
         "line 2, column 8",
         "write kind = \"venv\", or remove the packages"},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: keys that contradict each other are named across sources",
          "[unit][settings]") {
    const auto diagnostics = refused({{file_name, "[python]\npackages = [\"pandas\"]"},
                                      {metadata_name, "[python]\nkind = \"none\""}});
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().source == file_name);
    CHECK(diagnostics.front().message ==
          "`python.packages` would never be installed: `python.kind` is \"none\" at " +
              metadata_name + ", line 2, column 8");
}

TEST_CASE("settings: a user name is a Linux user name and no system account", "[unit][settings]") {
    const std::string name = GENERATE(as<std::string>{},
                                      "",
                                      "root",
                                      "www-data",
                                      "systemd-network",
                                      "Bob",
                                      "a:b",
                                      "-x",
                                      "1a",
                                      "a b",
                                      "a%n",
                                      "$HOME",
                                      "a\\nb",
                                      "имя",
                                      "abcdefghijklmnopqrstuvwxyzabcdefg");
    CAPTURE(name);
    const auto diagnostics = refused(one("[machine]\nuser = \"" + name + "\""));
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1301");
    CHECK_FALSE(diagnostics.front().hint.empty());
}

TEST_CASE("settings: a prefix lies where root may make an environment", "[unit][settings]") {
    const auto& [path, message] = GENERATE(table<std::string, std::string>({
        {"opt/x", "the prefix is not an absolute path"},
        {"", "the prefix is empty"},
        {"~/venv", "the prefix begins with `~`, which only a shell expands"},
        {"/opt/../etc", "the prefix holds a `.` or `..` component"},
        {"/opt/./x", "the prefix holds a `.` or `..` component"},
        {"/opt//x", "the prefix has a `/` too many"},
        {"/opt/x/", "the prefix has a `/` too many"},
        {"/opt/a b", "the prefix holds a character that is not allowed"},
        {"/opt/%n", "the prefix holds a character that is not allowed"},
        {"/opt/$HOME", "the prefix holds a character that is not allowed"},
        {"/opt/a\\n[Service]", "the prefix holds a control character"},
        {"/opt/a\\u0000", "the prefix holds a control character"},
        {"/opt/-x", "the prefix has a component that begins with `-`"},
        {"/", "the prefix `/` is not a place for an environment that root makes"},
        {"/opt", "the prefix `/opt` is not a place for an environment that root makes"},
        {"/etc/x", "the prefix `/etc/x` is not a place for an environment that root makes"},
        {"/proc/x", "the prefix `/proc/x` is not a place for an environment that root makes"},
        {"/home/a/x", "the prefix `/home/a/x` is not a place for an environment that root makes"},
        {"/usr/local/bin",
         "the prefix `/usr/local/bin` is not a place for an environment that root makes"},
        {"/optx/a", "the prefix `/optx/a` is not a place for an environment that root makes"},
    }));
    CAPTURE(path);
    const auto diagnostics = refused(one("[python]\nprefix = \"" + path + "\""));
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1306");
    CHECK(diagnostics.front().message == "`python.prefix`: " + message);
}

TEST_CASE("settings: a directory stays out of the system and out of unit files' syntax",
          "[unit][settings]") {
    const std::string path = GENERATE(as<std::string>{},
                                      "",
                                      "../x",
                                      "a/../b",
                                      "~/work",
                                      "~bob",
                                      "a//b",
                                      "-x",
                                      "%h",
                                      "$HOME",
                                      "a\\tb",
                                      "/",
                                      "/etc/x",
                                      "/proc",
                                      "/root/x");
    CAPTURE(path);
    const auto diagnostics = refused(one("[jupyter]\ndirectory = \"" + path + "\""));
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1307");
    CHECK(accepted(one("[jupyter]\ndirectory = \"/mnt/data-1/a.b_c\"")).jupyter.directory ==
          "/mnt/data-1/a.b_c");
}

TEST_CASE("settings: a password is a hash that Jupyter reads, never the password",
          "[unit][settings]") {
    const std::string salted = repeated("0123456789abcdef", 4);
    const auto& [hash, code] = GENERATE_COPY(table<std::string, std::string>({
        {"hunter2", "E1310"},
        {"correct horse battery staple", "E1310"},
        {"", "E1311"},
        {"argon2:garbage", "E1311"},
        {argon2_hash.substr(7), "E1311"},
        {argon2_hash + " ", "E1311"},
        {" " + argon2_hash, "E1311"},
        {argon2_hash + "\\n", "E1311"},
        {argon2_hash.substr(0, argon2_hash.size() - 1), "E1311"},
        {argon2_hash.substr(0, 50), "E1311"},
        {"argon2:$argon2i$v=19$m=10240,t=10,p=8$c29tZXNhbHRzb21lc2FsdA$wGXBZ8JGNJl9l5QqYGmvAw",
         "E1311"},
        {"argon2:$argon2id$v=19$m=10239,t=10,p=8$c29tZXNhbHRzb21lc2FsdA$wGXBZ8JGNJl9l5QqYGmvAw",
         "E1311"},
        {"argon2:$argon2id$v=19$m=9999999,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$wGXBZ8JGNJl9l5QqYGmvAw",
         "E1311"},
        {"argon2:$argon2id$v=19$m=10240,t=1,p=8$c29tZXNhbHRzb21lc2FsdA$wGXBZ8JGNJl9l5QqYGmvAw",
         "E1311"},
        {"$6$salt$digest", "E1311"},
        {"sha1:0123456789abcdef:da39a3ee5e6b4b0d3255bfef95601890afd80709", "E1312"},
        {"md5:0123456789abcdef:d41d8cd98f00b204e9800998ecf8427e", "E1312"},
        {"sha256:" + salted, "E1311"},
        {"sha256:abc:" + salted, "E1311"},
        {"sha256:0123456789ABCDEF:" + salted, "E1311"},
        {"sha256:0123456789abcdef:" + salted.substr(1), "E1311"},
        {"sha512:0123456789abcdef:" + salted, "E1311"},
    }));
    CAPTURE(hash);
    const auto sources = one("[jupyter]\npassword_hash = \"" + hash + "\"");
    const auto diagnostics = refused(sources);
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == code);
    const std::string text = render(diagnostics.front(), sources, Colours::off);
    CHECK(text.find(" 2 | password_hash = ***\n") != std::string::npos);
    if (!hash.empty())
        CHECK(text.find(hash) == std::string::npos);
}

TEST_CASE("settings: the hashes that Jupyter reads are accepted", "[unit][settings]") {
    const std::string hex32 = repeated("0123456789abcdef", 4);
    const std::string hash = GENERATE_COPY(as<std::string>{},
                                           argon2_hash,
                                           "argon2:$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$"
                                           "qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo",
                                           "sha256:0123456789abcdef:" + hex32,
                                           "sha512:0123456789abcdef0123:" + hex32 + hex32);
    CHECK(accepted(one("[jupyter]\npassword_hash = '" + hash + "'")).jupyter.password_hash == hash);
}

TEST_CASE("settings: a key for a plaintext password is refused wherever it stands",
          "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"[jupyter]\npassword = \"hunter2\"",
         "E1310 2:1 8 `jupyter.password`: a password is never written into the configuration",
         "`agent password` reads a password and prints the hash for jupyter.password_hash"},
        {"token = \"hunter2\"",
         "E1310 1:1 5 `token`: a password is never written into the configuration",
         "`agent password` reads a password and prints the hash for jupyter.password_hash"},
    }));
    check_refused(wrong);
    CHECK(rendered(one(wrong.text)).find("hunter2") == std::string::npos);
}

TEST_CASE("settings: a list of Python packages holds names and versions only", "[unit][settings]") {
    const auto& [entry, code] = GENERATE(table<std::string, std::string>({
        {"", "E1303"},
        {"-r /etc/shadow", "E1304"},
        {"--index-url https://x/", "E1304"},
        {"-e .", "E1304"},
        {"git+https://github.com/a/b", "E1304"},
        {"https://x/y.whl", "E1304"},
        {"pandas @ https://x/y.whl", "E1304"},
        {"./pandas", "E1304"},
        {"pandas.whl", "E1304"},
        {"pandas\\n--pre", "E1304"},
        {"pandas; extra == 'test'", "E1303"},
        {"pandas;", "E1303"},
        {"; python_version > '3'", "E1303"},
        {"-r x; python_version > '3'", "E1304"},
        {"https://x/y.whl ; python_version > '3'", "E1304"},
        {"pandas numpy", "E1303"},
        {"pandas 1.5", "E1303"},
        {"pandas=1.5", "E1303"},
        {"pandas=>1.5", "E1303"},
        {"pandas==", "E1303"},
        {"pandas==1.*.2", "E1303"},
        {"pandas>=1.*", "E1303"},
        {"pandas~=1", "E1303"},
        {"pandas>=1,", "E1303"},
        {"pandas[", "E1303"},
        {"pandas[]", "E1303"},
        {"pandas[a", "E1303"},
        {"_x", "E1303"},
        {"x-", "E1303"},
        {"пандас", "E1303"},
        {"$(id)", "E1303"},
        {"sklearn", "E1305"},
        {"SKLearn==1", "E1305"},
        {"tensorflow-gpu", "E1305"},
        {"python>=3.8", "E1303"},
    }));
    CAPTURE(entry);
    const auto diagnostics = refused(one("[python]\npackages = [\"" + entry + "\"]"));
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == code);
    CHECK(diagnostics.front().key == "python.packages[0]");
    CHECK_FALSE(diagnostics.front().hint.empty());
}

TEST_CASE("settings: Python packages keep their extras and versions", "[unit][settings]") {
    const auto& [entry, text] = GENERATE(table<std::string, std::string>({
        {"scikit-learn", "scikit-learn"},
        {"zope.interface", "zope.interface"},
        {"torch == 2.1.0+cu118", "torch==2.1.0+cu118"},
        {"dask[array, dataframe] ~= 2024.1", "dask[array,dataframe]~=2024.1"},
        {"numpy>=1.26,!=1.26.3,<2", "numpy>=1.26,!=1.26.3,<2"},
        {"keras==3.*", "keras==3.*"},
        {"x1===2.0-special", "x1===2.0-special"},
        {"y1 == v1!2.0rc1.post2.dev3", "y1==v1!2.0rc1.post2.dev3"},
        {"x1[a] >= 2 ;  os_name == 'posix' ", "x1[a]>=2; os_name == 'posix'"},
    }));
    CHECK(accepted(one("[python]\npackages = [\"" + entry + "\"]")).python.packages ==
          std::vector<std::string>{text});
}

TEST_CASE("settings: a list names everything once and stays within its bounds",
          "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"[python]\npackages = [\"a_b>=1\", \"c1\",\n \"A.B\"]",
         "E1209 3:2 5 `python.packages[2]`: `a-b` is listed twice: first at line 2, column 13",
         "keep one of the two"},
        {"[apt]\npackages = [\"g++\", \"g++=4:12\"]",
         "E1209 2:20 10 `apt.packages[1]`: `g++` is listed twice: first at line 2, column 13",
         "keep one of the two"},
        {"[apt]\npackages = [" + repeated("\"a1\",", 2001) + "]",
         "E1208 2:12 1 `apt.packages`: 2001 entries are more than 2000",
         ""},
        {"[python]\npackages = [" + repeated("\"a1\",", 10'000) + "]",
         "E1208 2:12 1 `python.packages`: 10000 entries are more than 2000",
         ""},
        {"[apt]\npackages = [\"" + repeated("a", 201) + "\"]",
         "E1208 2:13 203 `apt.packages[0]`: the entry is longer than 200 bytes",
         ""},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: what is imported or retired is met by the name that is installed",
          "[unit][settings]") {
    const Case wrong = GENERATE(values<Case>({
        {"[python]\npackages = [\"sklearn\"]",
         "E1305 2:13 9 `python.packages[0]`: `sklearn` is what Python imports, not what is "
         "installed",
         "write scikit-learn"},
        {"[[python.environment]]\nname = \"a\"\npackages = [\"PyTorch>=2\"]",
         "E1305 3:13 12 `python.environment[0].packages[0]`: `PyTorch` is a name under which "
         "nothing of use is published any more",
         "write torch"},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: environments and indexes are told apart by name, and none is idle",
          "[unit][settings]") {
    const std::string index = "url = \"https://i.example/simple\"\n";
    const Case wrong = GENERATE_COPY(values<Case>({
        {"[[python.environment]]\nname = \"a\"\n[[python.environment]]\nname = \"a\"",
         "E1209 4:8 3 `python.environment[1].name`: `a` is listed twice: first at line 2, column 8",
         "keep one of the two"},
        {"[[python.environment]]\nname = \"python3\"",
         "E1332 2:8 9 `python.environment[0].name`: `python3` is the name of Jupyter's own Python",
         "choose another; its packages go into `packages` of [python]"},
        {"[python]\nkind = \"none\"\n[[python.environment]]\nname = \"a\"",
         "E1207 3:1 22 `python.environment` would never be installed: `python.kind` is \"none\" at "
         "line 2, column 8",
         "write kind = \"venv\", or remove the packages"},
        {"[[python.index]]\nname = \"a\"\n" + index + "packages = [\"x1\"]\n" +
             "[[python.index]]\nname = \"b\"\n" + index + "packages = [\"X1\"]",
         "E1209 8:13 4 `python.index[1].packages[0]`: `x1` is listed twice: first at line 4, "
         "column 13",
         "keep one of the two"},
        {"[[python.index]]\nname = \"a\"\n" + index + "packages = []",
         "E1210 1:1 16 `python.index[0].packages` names none",
         "name those that come from this index, such as packages = [\"torch\"]"},
    }));
    check_refused(wrong);
}

TEST_CASE("settings: a Debian package that is named twice is taken once, with a warning",
          "[unit][settings]") {
    const auto read = agent::read_configuration(one(
        "schema = 1\n[apt]\npackages = [\"libxrandr2\", \"g++=1\", \"libxrandr2\", \"g++=1\"]"));
    CHECK(read.is_valid());
    CHECK(read.settings.apt.packages == std::vector<std::string>{"libxrandr2", "g++=1"});
    REQUIRE(read.diagnostics.size() == 2);
    CHECK(brief(read.diagnostics.front()) == "W1411 3:36 12 `apt.packages[2]`: `libxrandr2` is "
                                             "listed twice: first at line 3, column 13");
}

TEST_CASE("settings: an index for what nobody asks for is a warning, a file may ask for it",
          "[unit][settings]") {
    const std::string index = "[[python.index]]\nname = \"a\"\nurl = \"https://i.example/simple\"\n"
                              "packages = [\"torch\", \"x1\"]\n";
    const auto warnings = [&](const std::string& text) {
        std::vector<std::string> told;
        for (const Diagnostic& diagnostic : agent::read_configuration(one(text)).diagnostics)
            if (diagnostic.severity == agent::Severity::warning)
                told.push_back(brief(diagnostic));
        return told;
    };
    CHECK(warnings("[python]\npackages = [\"x1\"]\n" + index) ==
          std::vector<std::string>{"W1410 6:12 1 `python.index[0].packages`: nothing asks for "
                                   "`torch`, so it does not come from here"});
    CHECK(warnings("[[python.environment]]\nname = \"b\"\npackages = [\"torch>=2\", \"x1\"]\n" +
                   index)
              .empty());
    CHECK(warnings("[python]\nrequirements = \"/etc/r.txt\"\n" + index).empty());
}

TEST_CASE("settings: a list of packages may be an object of a bucket", "[unit][settings]") {
    const std::string object = GENERATE(as<std::string>{},
                                        "gs://my-bucket/environment.yml",
                                        "gs://abc/a b?#%/ä.yml",
                                        "gs://1.example.com/lists//../.yml",
                                        "gs://my_project.example-1/.yml");
    for (const char* key : {"requirements", "constraints", "environment_file"}) {
        const std::string line = std::string{key} + " = \"" + object + "\"\n";
        const Settings settings =
            accepted(one("schema = 1\n[python]\nkind = \"miniforge\"\n" + line +
                         "[[python.environment]]\nname = \"a\"\n" + line));
        const auto& python = settings.python;
        const auto& other = python.environments.front();
        CHECK(python.requirements.string() + python.constraints.string() +
                  python.environment_file.string() ==
              object);
        CHECK(other.requirements.string() + other.constraints.string() +
                  other.environment_file.string() ==
              object);
    }
}

TEST_CASE("settings: what a bucket or an object cannot be called is refused", "[unit][settings]") {
    const std::string hint_of_bucket = "3 to 63 characters of a-z, 0-9, - _ and ., beginning and "
                                       "ending with a letter or a digit";
    const std::string hint_of_object = "such as gs://my-bucket/path/requirements.txt";
    struct Wrong {
        std::string value;
        std::string message;
        std::string hint;
    };
    const auto wrong = GENERATE_COPY(
        Wrong{"gs://", "no bucket is named behind gs://", hint_of_object},
        Wrong{"gs://b-1.c-/o",
              "`b-1.c-` begins or ends with what no bucket's name does",
              hint_of_bucket},
        Wrong{"gs://b.-c/o", "`b.-c` has a dot where no bucket's name has one", hint_of_bucket},
        Wrong{"gs://" + std::string(64, 'a') + "/o",
              "the bucket's name is longer than 63 characters",
              hint_of_bucket},
        Wrong{"gs://my-bucket/" + std::string(1025, 'o'),
              "the object's name is longer than 1024 bytes",
              hint_of_object},
        Wrong{"gs://my-bucket/.", "no object can be called `.`", hint_of_object},
        Wrong{"gs://my-bucket/a/",
              "a folder of a bucket is named, and no object in it",
              hint_of_object},
        Wrong{"gs://my-bucket/", "a bucket is named, and no object in it", hint_of_object});
    const auto diagnostics =
        refused(one("schema = 1\n[python]\nrequirements = \"" + wrong.value + "\"\n"));
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1318");
    CHECK(diagnostics.front().position.line == 3);
    CHECK(diagnostics.front().position.column == 16);
    CHECK(diagnostics.front().message == "`python.requirements`: " + wrong.message);
    CHECK(diagnostics.front().hint == wrong.hint);
}

TEST_CASE("settings: a list of apt packages holds names and versions only", "[unit][settings]") {
    const std::string entry = GENERATE(as<std::string>{},
                                       "",
                                       "a",
                                       "Curl",
                                       "curl wget",
                                       "curl-",
                                       "-y",
                                       "--allow-unauthenticated",
                                       "./x.deb",
                                       "curl/bookworm",
                                       "curl=",
                                       "curl=1=2",
                                       "curl;id",
                                       "curl\\n",
                                       "$(id)");
    CAPTURE(entry);
    const auto diagnostics = refused(one("[apt]\npackages = [\"" + entry + "\"]"));
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1302");
}

TEST_CASE("settings: an index is https without credentials, and they are never shown",
          "[unit][settings]") {
    const std::string url = GENERATE(as<std::string>{},
                                     "",
                                     "index.example.com/simple",
                                     "http://index.example.com/simple",
                                     "ftp://index.example.com",
                                     "https://",
                                     "https:///simple",
                                     "https://u:CANARY@h.example/simple",
                                     "https://CANARY@h.example/simple",
                                     "http://u:CANARY@h.example/simple",
                                     "https://h.example:0/",
                                     "https://h.example:99999/",
                                     "https://h.example/?token=CANARY",
                                     "https://h.example/#a",
                                     "https://h.example/%n",
                                     "https://h.example/a b",
                                     "https://h.example/\\n--pre",
                                     "https://-x/");
    CAPTURE(url);
    const auto sources = one("[python]\nindex_url = \"" + url + "\"");
    const auto diagnostics = refused(sources);
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1308");
    CHECK(render(diagnostics.front(), sources, Colours::off).find("CANARY") == std::string::npos);
}

TEST_CASE("settings: a later source replaces an array of tables as a whole", "[unit][settings]") {
    const auto repository = [](const std::string& name) {
        return "[[apt.repository]]\nname = \"" + name +
               "\"\nurl = \"https://h.example\"\nsuite = \"./\"\n"
               "keyring = \"/etc/apt/keyrings/a.gpg\"\n";
    };
    std::vector<ConfigSource> sources{
        {file_name, "[apt]\npackages = [\"curl\"]\n" + repository("a") + repository("b")},
        {metadata_name, repository("a")}};
    const Settings replaced = accepted(sources);
    REQUIRE(replaced.apt.repositories.size() == 1);
    CHECK(replaced.apt.packages == std::vector<std::string>{"curl"});
    sources.push_back({"later", "apt.repository = []"});
    CHECK(accepted(sources).apt.repositories.empty());
}

TEST_CASE("settings: a signing key is one armoured public key, and nothing may hide behind it",
          "[unit][settings]") {
    const auto& [key, code] = GENERATE_COPY(table<std::string, std::string>({
        {"", "E1317"},
        {"mDMEZZZZZhYJKwYBBAHaRw8BAQdAexample", "E1317"},
        {"/usr/share/keyrings/a.gpg", "E1317"},
        {"https://h.example/key.asc", "E1317"},
        {armoured.substr(0, 120), "E1317"},
        {armoured + armoured, "E1317"},
        {armoured + "Trusted: yes\n", "E1317"},
        {"Trusted: yes\n" + armoured, "E1317"},
        {"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n-----END PGP PUBLIC KEY BLOCK-----", "E1317"},
        {"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n\nTrusted: yes\n"
         "-----END PGP PUBLIC KEY BLOCK-----",
         "E1317"},
        {"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + repeated("mDMEmDME\n", 8000) +
             "-----END PGP PUBLIC KEY BLOCK-----",
         "E1317"},
        {"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nCANARY\n-----END PGP PRIVATE KEY BLOCK-----",
         "E1313"},
        {armoured + "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n", "E1313"},
        {"-----BEGIN CERTIFICATE-----\nCANARY\n-----END CERTIFICATE-----", "E1317"},
    }));
    CAPTURE(key.substr(0, 200));
    const auto sources =
        one("[[apt.repository]]\nname = \"a\"\nurl = \"https://h.example\"\nsuite = \"./\"\n"
            "key = '''\n" +
            key + "'''");
    const auto diagnostics = refused(sources);
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == code);
    CHECK(diagnostics.front().key == "apt.repository[0].key");
    CHECK(render(diagnostics.front(), sources, Colours::off).find("CANARY") == std::string::npos);
}

TEST_CASE("settings: a value that ends at a NUL for the system is no address", "[unit][settings]") {
    CHECK(refused(one("[tls]\nnames = [\"10.0.0.1\\u0000,DNS:evil.example\"]")).front().code ==
          "E1309");
    CHECK(refused(one("[network]\nno_proxy = [\"10.0.0.0\\u0000/8\"]")).front().code == "E1320");
}

TEST_CASE("settings: names of a certificate are host names or addresses", "[unit][settings]") {
    const std::string name = GENERATE(as<std::string>{},
                                      "",
                                      "*.example.com",
                                      "https://example.com",
                                      "example.com:8888",
                                      "a..b",
                                      "-a.b",
                                      "1.2.3",
                                      "256.1.1.1",
                                      "пример.рф",
                                      "a b",
                                      "a,DNS:b");
    CAPTURE(name);
    const auto diagnostics = refused(one("[tls]\nnames = [\"" + name + "\"]"));
    REQUIRE(diagnostics.size() == 1);
    CHECK(diagnostics.front().code == "E1309");
}

TEST_CASE("settings: an error is shown in a compiler's form", "[unit][settings]") {
    CHECK(rendered(one("[jupyter]\n\n# c\nport = 9000\ninterface = \"lab\"\n\nprot = 8888\n")) ==
          "error[E1204]: unknown key `jupyter.prot`\n"
          "  --> /etc/agent/agent.toml:7:1\n"
          "   |\n"
          " 7 | prot = 8888\n"
          "   | ^^^^ not a key of [jupyter]\n"
          "   = hint: did you mean `port`? keys of [jupyter]: allow_sudo, directory,\n"
          "           interface, password_hash, port\n");
}

TEST_CASE("settings: the caret stands under characters, not bytes, and behind tabs",
          "[unit][settings]") {
    CHECK(rendered(one("\xEF\xBB\xBF[tls]\r\n\tnames = [\"пример.рф\", \"日本\"]\r\n")) ==
          "error[E1309]: `tls.names[0]`: a host name holds only ASCII\n"
          "  --> /etc/agent/agent.toml:2:11\n"
          "   |\n"
          " 2 |     names = [\"пример.рф\", \"日本\"]\n"
          "   |              ^^^^^^^^^^^ not a host name\n"
          "   = hint: write it in punycode: xn--…\n"
          "error[E1309]: `tls.names[1]`: a host name holds only ASCII\n"
          "  --> /etc/agent/agent.toml:2:24\n"
          "   |\n"
          " 2 |     names = [\"пример.рф\", \"日本\"]\n"
          "   |                           ^^^^^^ not a host name\n"
          "   = hint: write it in punycode: xn--…\n");
}

TEST_CASE("settings: a long line is shown around the caret", "[unit][settings]") {
    std::string list;
    for (int i = 100; i < 150; ++i)
        list += "\"pkg" + std::to_string(i) + "\", ";
    CHECK(rendered(one("[python]\npackages = [" + list + "\"sklearn\", \"z1\"]")) ==
          "error[E1305]: `python.packages[50]`: `sklearn` is what Python imports, not what is "
          "installed\n"
          "  --> /etc/agent/agent.toml:2:513\n"
          "   |\n"
          " 2 | ..., \"pkg148\", \"pkg149\", \"sklearn\", \"z1\"]\n"
          "   |                          ^^^^^^^^^ not the name of the package\n"
          "   = hint: write scikit-learn\n");
    const auto sources = one("[apt]\npackages = [\"A\", \"" + repeated("b", 190) + "\", \"C\"]");
    for (const Diagnostic& diagnostic : refused(sources)) {
        const std::string text = render(diagnostic, sources, Colours::off);
        for (std::size_t start = 0; start < text.size(); start = text.find('\n', start) + 1)
            CHECK(text.find('\n', start) - start <= 160);
    }
}

TEST_CASE("settings: a secret is hidden in every line that may hold it", "[unit][settings]") {
    const std::string text =
        GENERATE(as<std::string>{},
                 "[jupyter]\npassword_hash = \"\"\"\nCANARY\n",
                 "[jupyter]\npassword_hash = \"CANARY\nport = 1\n",
                 "[jupyter]\npassword_hash = \"x\nCANARY\"\n",
                 "[jupyter]\npassword_hash = CANARY\n",
                 "[jupyter]\npassword_hash =\nCANARY\n",
                 "[jupyter]\npassword_hash = [\n\"CANARY\",\n1 2]\n",
                 "[jupyter]\npassword_hash \"CANARY\"\n",
                 "[jupyter]\npassword_hash: CANARY\n",
                 "[jupyter]\npasword_hsh = \"CANARY\"\n",
                 "[jupyter]\nnew_key = \"CANARY\"\n",
                 "[jupyter]\nport = 1 # the password is CANARY\n",
                 "jupyter = { port = 1, password_hash = \"CANARY\" }\n",
                 "jupyter = { \"password\" = \"CANARY\" \n",
                 "[machine]\nuser = \"argon2:$CANARY\"\n",
                 "[machine]\nuser = \"--token=CANARY\"\n",
                 "[python]\npackages = [\"git+https://CANARY@h/x\", \"https://a:CANARY@h\"]\n",
                 "[jupyter]\nport = 1\nport = 2 password = \"CANARY\"\n",
                 "password_hash = \"\"\"x\nCANARY=1\nport = 2\n\"\"\" 1\n");
    CAPTURE(text);
    const std::string shown = rendered(one(text));
    CHECK(shown.find("CANARY") == std::string::npos);
}

TEST_CASE("settings: colours add escapes and change no character", "[unit][settings]") {
    const auto sources = one("[jupyter]\nprot = 8888\n");
    const auto diagnostics = refused(sources);
    std::string coloured = render(diagnostics.front(), sources, Colours::on);
    CHECK(coloured.starts_with("\x1b[1;31merror[E1204]\x1b[0m"));
    for (auto at = coloured.find('\x1b'); at != std::string::npos; at = coloured.find('\x1b'))
        coloured.erase(at, coloured.find('m', at) - at + 1);
    CHECK(coloured == render(diagnostics.front(), sources, Colours::off));
}

TEST_CASE("settings: control and direction characters of a document never reach the terminal",
          "[unit][settings]") {
    const std::string shown =
        rendered(one("[machine]\nuser = \"a\xE2\x80\xAE\xC2\x9B\" # \xEF\xBB\xBF\n"));
    CHECK(shown.find(" 2 | user = \"a??\" # ?\n") != std::string::npos);
}

TEST_CASE("settings: an argon2 hash is refused where only an old notebook is asked for",
          "[unit][settings]") {
    struct Row {
        std::string interface;
        std::string packages;
        bool refused;
    };
    const auto row =
        GENERATE(Row{"notebook", R"("notebook==6.0.3")", true},
                 Row{"notebook", R"("pandas", "Notebook == 6.0.*")", true},
                 Row{"notebook", R"("notebook>=5.7,<6.1")", true},
                 Row{"notebook", R"("notebook<6")", true},
                 Row{"notebook", R"("notebook<=6.0.3")", true},
                 Row{"notebook", R"("notebook~=6.0.1")", true},
                 Row{"notebook", R"("notebook~=5.7")", true},
                 Row{"notebook", R"("notebook==5.*")", true},
                 Row{"lab", R"("jupyterlab<3", "notebook==6.0.3")", true},
                 Row{"notebook", R"("notebook~=6.0")", false},
                 Row{"notebook", R"("notebook==6.*")", false},
                 Row{"notebook", R"("notebook==6.4.12")", false},
                 Row{"notebook", R"("notebook!=6.0.3")", false},
                 Row{"notebook", R"("notebook>=6.0.3")", false},
                 Row{"notebook", R"("notebook<7")", false},
                 Row{"notebook", R"("notebook==6.0.3; python_version < '3.8'")", false},
                 Row{"notebook", R"("notebook")", false},
                 Row{"notebook", "", false},
                 // What is asked for is made of jupyter_server.
                 Row{"lab", R"("notebook==6.0.3")", false},
                 Row{"lab", R"("jupyterlab>=4", "notebook==6.0.3")", false},
                 // Which notebook it gets, only the resolver knows.
                 Row{"lab", R"("jupyterlab==2.3.2")", false});
    INFO(row.interface << ": " << row.packages);
    const auto with = [&](const std::string& hash) {
        return one("schema = 1\n[python]\npackages = [" + row.packages +
                   "]\n[jupyter]\ninterface = \"" + row.interface + "\"\npassword_hash = \"" +
                   hash + "\"\n");
    };
    const std::string salted = "sha256:0123456789abcdef:" + std::string(64, 'a');
    CHECK(accepted(with(salted)).jupyter.password_hash == salted);
    if (!row.refused) {
        accepted(with(argon2_hash));
        return;
    }
    const auto found = refused(with(argon2_hash));
    REQUIRE(found.size() == 1);
    CHECK(found.front().code == "E1341");
    CHECK(found.front().position.line == 6);
    CHECK(found.front().hint.find("agent password --for notebook-6.0") != std::string::npos);
    CHECK(found.front().message.find("wGXBZ8") == std::string::npos);
}

TEST_CASE("settings: an Anaconda before 2020.11 has an old notebook, unless another is asked for",
          "[unit][settings]") {
    struct Row {
        std::string installer;
        std::string packages;
        bool refused;
    };
    const auto row = GENERATE(Row{"Anaconda3-2019.10-Linux-x86_64.sh", R"("pandas")", true},
                              Row{"Anaconda3-2020.07-Linux-x86_64.sh", "", true},
                              Row{"Anaconda3-2020.11-Linux-x86_64.sh", "", false},
                              Row{"Anaconda3-2024.10-1-Linux-x86_64.sh", "", false},
                              Row{"Anaconda3-2019.10-Linux-x86_64.sh", R"("jupyterlab>=3")", false},
                              Row{"Anaconda3-2019.10-Linux-x86_64.sh", R"("notebook>=6.1")", false},
                              Row{"Miniforge3-Linux-x86_64.sh", "", false});
    INFO(row.installer << ": " << row.packages);
    const auto sources =
        one("schema = 1\n[python]\nkind = \"anaconda\"\naccept_terms = true\n"
            "installer = \"https://repo.anaconda.com/archive/" +
            row.installer + "\"\nsha256 = \"" + std::string(64, 'a') + "\"\npackages = [" +
            row.packages + "]\n[jupyter]\npassword_hash = \"" + argon2_hash + "\"\n");
    if (!row.refused) {
        accepted(sources);
        return;
    }
    const auto found = refused(sources);
    REQUIRE(found.size() == 1);
    CHECK(found.front().code == "E1341");
    CHECK(found.front().message.find("the notebook of `Anaconda3-20") != std::string::npos);
}

TEST_CASE("settings: sha1 is refused with the command that makes what an old notebook reads",
          "[unit][settings]") {
    const auto found =
        refused(one("schema = 1\n[jupyter]\npassword_hash = "
                    "\"sha1:0123456789ab:da39a3ee5e6b4b0d3255bfef95601890afd80709\""));
    REQUIRE(found.size() == 1);
    CHECK(found.front().hint.find("agent password --for notebook-6.0") != std::string::npos);
}
