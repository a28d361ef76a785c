#include "agent/base/text.hpp"
#include "agent/settings.hpp"
#include "agent/settings_keys.hpp"
#include "tests/support/repository.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace agent;

namespace {

const std::string source_name = "/etc/agent/agent.toml";
const std::string armoured = "'''\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"
                             "mDMEZZZZZhYJKwYBBAHaRw8BAQdAexample\n=abcd\n"
                             "-----END PGP PUBLIC KEY BLOCK-----\n'''";

// A key that is added to the schema fails here until it has a value that is right and one of the
// right type that is not. Empty: every value of the type is right.
struct Sample {
    std::string valid;
    std::string out_of_range;
};
const std::map<std::string, Sample> samples{
    {"schema", {"1", "99"}},
    {"apt.packages", {"[\"curl\"]", "[\"CURL\"]"}},
    {"apt.repository.name", {"\"a\"", "\"A/b\""}},
    {"apt.repository.url", {"\"http://h.example/apt\"", "\"file:///apt\""}},
    {"apt.repository.suite", {"\"{codename}\"", "\"{codename}-{codename}\""}},
    {"apt.repository.components", {"[\"main\"]", "[\"a b\"]"}},
    {"apt.repository.key", {armoured, "\"mDMEZZ\""}},
    {"apt.repository.keyring", {"\"/usr/share/keyrings/a.gpg\"", "\"/tmp/a.gpg\""}},
    {"jupyter.allow_sudo", {"false", ""}},
    {"jupyter.directory", {"\"work\"", "\"../x\""}},
    {"jupyter.interface", {"\"notebook\"", "\"classic\""}},
    {"jupyter.password_hash",
     {"\"argon2:$argon2id$v=19$m=10240,t=10,p=8$c29tZXNhbHRzb21lc2FsdA$wGXBZ8JGNJl9l5QqYGmvAw\"",
      "\"hunter2\""}},
    {"jupyter.port", {"9000", "22"}},
    {"limits.grace", {"\"90s\"", "\"59s\""}},
    {"limits.lifetime", {"\"12h\"", "\"0s\""}},
    {"limits.on_failure", {"\"stop\"", "\"delete\""}},
    {"limits.person", {"\"30m\"", "\"721h\""}},
    {"limits.setup", {"\"90m\"", "\"60000ms\""}},
    {"machine.user", {"\"ada\"", "\"root\""}},
    {"metadata.project_config", {"true", ""}},
    {"network.ca_certificates", {"\"/etc/ssl/ca.pem\"", "\"/proc/ca.pem\""}},
    {"network.no_proxy", {"[\".example.com\"]", "[\"*\"]"}},
    {"network.proxy", {"\"http://h.example:3128\"", "\"http://h.example\""}},
    {"python.accept_terms", {"true", ""}},
    {"python.channels", {"[\"conda-forge\"]", "[\"a b\"]"}},
    {"python.conda_packages", {"[\"numpy=1.26\"]", "[\"-c x\"]"}},
    {"python.environment_file", {"\"/srv/environment.yml\"", "\"environment.yml\""}},
    {"python.installer", {"\"https://h.example/X.sh\"", "\"https://h.example/X.exe\""}},
    {"python.constraints", {"\"/etc/c.txt\"", "\"c.txt\""}},
    {"python.environment.channels", {"[\"conda-forge\"]", "[\"a b\"]"}},
    {"python.environment.conda_packages", {"[\"numpy=1.26\"]", "[\"-c x\"]"}},
    {"python.environment.constraints", {"\"/etc/c.txt\"", "\"/tmp/c.txt\""}},
    {"python.environment.environment_file", {"\"/srv/environment.yml\"", "\"environment.yml\""}},
    {"python.environment.name", {"\"old\"", "\"Old one\""}},
    {"python.environment.packages", {"[\"pandas\"]", "[\"--pre\"]"}},
    {"python.environment.requirements", {"\"/etc/r.txt\"", "\"/proc/r.txt\""}},
    {"python.environment.version", {"\"3.9\"", "\"2.7\""}},
    {"python.index.name", {"\"torch\"", "\"torch/cpu\""}},
    {"python.index.packages", {"[\"torch\"]", "[\"torch>=2\"]"}},
    {"python.index.url", {"\"https://h.example/whl/cpu\"", "\"http://h.example/whl/cpu\""}},
    {"python.index_url", {"\"https://h.example/simple/\"", "\"http://h.example/simple/\""}},
    {"python.kind", {"\"none\"", "\"conda\""}},
    {"python.packages", {"[\"pandas\"]", "[\"-r x\"]"}},
    {"python.prefix", {"\"/srv/py\"", "\"/etc\""}},
    {"python.sha256", {"\"" + std::string(64, 'a') + "\"", "\"" + std::string(32, 'a') + "\""}},
    {"python.requirements", {"\"/etc/r.txt\"", "\"r.txt\""}},
    {"python.version", {"\"3.12\"", "\"3.12.4\""}},
    {"report.guest_attributes", {"false", ""}},
    {"tls.names", {"[\"h.example\"]", "[\"*.example\"]"}},
};
// What an element of an array of tables needs beside the key in question.
const std::map<std::string, std::map<std::string, std::string>> companions{
    {"apt.repository",
     {{"name", "\"z\""},
      {"url", "\"https://z.example/apt\""},
      {"suite", "\"stable\""},
      {"components", "[\"main\"]"},
      {"keyring", "\"/usr/share/keyrings/z.gpg\""}}},
    {"python.environment", {{"name", "\"z\""}}},
    {"python.index",
     {{"name", "\"z\""}, {"url", "\"https://z.example/simple\""}, {"packages", "[\"z1\"]"}}}};

// What a key goes with: in its own table, or before the element that it is in.
const std::string with_conda = "kind = \"miniforge\"\n";
const std::map<std::string, std::string> preambles{
    {"python.channels", with_conda},
    {"python.conda_packages", with_conda},
    {"python.environment.channels", "[python]\n" + with_conda},
    {"python.environment.conda_packages", "[python]\n" + with_conda},
    {"python.environment.environment_file", "[python]\n" + with_conda},
    {"python.environment_file", with_conda},
    {"python.installer", with_conda + "sha256 = \"" + std::string(64, 'b') + "\"\n"},
    {"python.sha256", with_conda + "installer = \"https://h.example/Y.sh\"\n"},
};

std::string path_of(const KeyFacts& key) {
    return key.table.empty() ? std::string{key.name}
                             : std::string{key.table} + "." + std::string{key.name};
}

// The key's path as diagnostics name it.
std::string told_path_of(const KeyFacts& key) {
    return key.in_array ? std::string{key.table} + "[0]." + std::string{key.name} : path_of(key);
}

// A document in which `line` stands for the key, on its last line.
std::string document(const KeyFacts& key, const std::string& line) {
    if (key.table.empty())
        return line;
    const std::string name{key.table};
    const auto found = preambles.find(path_of(key));
    const std::string preamble = found == preambles.end() ? "" : found->second;
    std::string text = key.in_array ? preamble : "";
    text += key.in_array ? "[[" + name + "]]\n" : "[" + name + "]\n";
    if (key.in_array)
        for (const auto& [companion, value] : companions.at(name)) {
            const bool replaced =
                companion == key.name || (key.name == "key" && companion == "keyring");
            if (!replaced)
                text += companion + " = " + value + "\n";
        }
    return text + (key.in_array ? "" : preamble) + line;
}

std::string assignment(const KeyFacts& key, const std::string& value) {
    return std::string{key.name} + " = " + value;
}

Configuration read(const std::string& text) {
    const std::vector<ConfigSource> sources{{source_name, text}};
    return read_configuration(sources);
}

std::vector<Diagnostic> errors_in(const std::string& text) {
    auto diagnostics = read(text).diagnostics;
    std::erase_if(diagnostics,
                  [](const Diagnostic& one) { return one.severity != Severity::error; });
    return diagnostics;
}

std::uint32_t last_line_of(const std::string& text) {
    return static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
}

std::string value_type(KeyType type) {
    switch (type) {
    case KeyType::string:
        return "string";
    case KeyType::integer:
        return "integer";
    case KeyType::boolean:
        return "boolean";
    case KeyType::strings:
        break;
    }
    return "array";
}

const MergedKey* merged_key(const Configuration& configuration, const KeyFacts& key) {
    for (const MergedTable& table : configuration.merged)
        if (table.name == key.table)
            for (const MergedKey& one : table.keys)
                if (one.name == key.name)
                    return &one;
    return nullptr;
}

} // namespace

TEST_CASE("keys: every key of the schema is sampled here, and nothing else", "[unit][settings]") {
    std::vector<std::string> known;
    for (const KeyFacts& key : known_keys())
        known.push_back(path_of(key));
    std::sort(known.begin(), known.end());
    std::vector<std::string> sampled;
    for (const auto& [path, sample] : samples)
        sampled.push_back(path);
    CHECK(known == sampled);
}

TEST_CASE("keys: a right value is taken, and `agent config` says where it was said",
          "[unit][settings]") {
    for (const KeyFacts& key : known_keys()) {
        const std::string path = path_of(key);
        const std::string text = document(key, assignment(key, samples.at(path).valid));
        CAPTURE(path, text);
        const Configuration taken = read(text);
        CHECK(errors_in(text).empty());
        const MergedKey* merged = merged_key(taken, key);
        REQUIRE(merged);
        REQUIRE(merged->place);
        CHECK(merged->place->source == source_name);
        CHECK(merged->place->position.column == 1);
        CHECK_FALSE(std::holds_alternative<std::nullptr_t>(merged->value.data));
        if (key.exposure == Exposure::secret)
            CHECK(*merged->value.as_string() == "***");
    }
}

TEST_CASE("keys: what nobody says is there as a default", "[unit][settings]") {
    const Configuration defaults = read("# schema = 1\n");
    for (const KeyFacts& key : known_keys()) {
        if (key.in_array)
            continue;
        CAPTURE(path_of(key));
        const MergedKey* merged = merged_key(defaults, key);
        REQUIRE(merged);
        CHECK_FALSE(merged->place);
        CHECK(merged->overruled.empty());
    }
}

TEST_CASE("keys: a value of any other type is refused where it stands", "[unit][settings]") {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 10> values{
        {{"\"x\"", "string"},
         {"7", "integer"},
         {"7.5", "float"},
         {"inf", "float"},
         {"true", "boolean"},
         {"2024-01-02", "date"},
         {"07:32:00", "date"},
         {"[\"x\"]", "array"},
         {"[{ a = 1 }]", "array"},
         {"{ a = 1 }", "table"}}};
    for (const KeyFacts& key : known_keys())
        for (const auto& [value, type] : values) {
            if (type == value_type(key.type))
                continue;
            const std::string text = document(key, assignment(key, std::string{value}));
            CAPTURE(text);
            const auto errors = errors_in(text);
            REQUIRE(errors.size() == 1);
            CHECK(errors.front().code == "E1201");
            CHECK(errors.front().key == told_path_of(key));
            CHECK(errors.front().position ==
                  Position{last_line_of(text), static_cast<std::uint32_t>(key.name.size()) + 4});
            CHECK(errors.front().message.find("found ") != std::string::npos);
        }
}

TEST_CASE("keys: a list of anything but strings is refused at the entry", "[unit][settings]") {
    for (const KeyFacts& key : known_keys()) {
        if (key.type != KeyType::strings)
            continue;
        for (const std::string entry : {"7", "7.5", "true", "[\"x\"]", "{ a = 1 }"}) {
            const std::string text = document(key, assignment(key, "[" + entry + "]"));
            CAPTURE(text);
            const auto errors = errors_in(text);
            REQUIRE_FALSE(errors.empty());
            const auto wrong =
                std::find_if(errors.begin(), errors.end(), [&](const Diagnostic& one) {
                    return one.code == "E1201" && one.key == told_path_of(key) + "[0]";
                });
            CHECK(wrong != errors.end());
        }
    }
}

TEST_CASE("keys: a value that is out of range or malformed is refused", "[unit][settings]") {
    for (const KeyFacts& key : known_keys()) {
        const std::string& value = samples.at(path_of(key)).out_of_range;
        if (value.empty()) {
            CHECK(key.type == KeyType::boolean);
            continue;
        }
        const std::string text = document(key, assignment(key, value));
        CAPTURE(text);
        const auto errors = errors_in(text);
        REQUIRE_FALSE(errors.empty());
        CHECK(errors.front().position.line == last_line_of(text));
        CHECK(errors.front().key.starts_with(told_path_of(key)));
        CHECK(errors.front().message.starts_with("`" + told_path_of(key)));
        CHECK_FALSE(errors.front().hint.empty());
    }
}

TEST_CASE("keys: an empty value is refused where there is no meaning to it", "[unit][settings]") {
    for (const KeyFacts& key : known_keys()) {
        if (key.type != KeyType::string && key.type != KeyType::strings)
            continue;
        const std::string empty = key.type == KeyType::string ? "\"\"" : "[\"\"]";
        const std::string text = document(key, assignment(key, empty));
        CAPTURE(text);
        const auto errors = errors_in(text);
        REQUIRE_FALSE(errors.empty());
        CHECK(errors.front().message.find("empty") != std::string::npos);
    }
}

TEST_CASE("keys: a key that stands twice is refused with both places", "[unit][settings]") {
    for (const KeyFacts& key : known_keys()) {
        const std::string once = assignment(key, samples.at(path_of(key)).valid) + "\n";
        const std::string text = document(key, once + once);
        CAPTURE(text);
        const auto errors = errors_in(text);
        REQUIRE(errors.size() == 1);
        CHECK(errors.front().code == "E1102");
        CHECK(errors.front().position.column == 1);
        CHECK(errors.front().width == key.name.size());
        CHECK(errors.front().message.find("is defined twice: first at line ") != std::string::npos);
    }
}

TEST_CASE("keys: one letter lost, added or swapped is met by the right name", "[unit][settings]") {
    for (const KeyFacts& key : known_keys()) {
        const std::string name{key.name};
        std::vector<std::string> misspelt;
        for (std::size_t i = 0; i < name.size(); ++i) {
            misspelt.push_back(name.substr(0, i) + name.substr(i + 1));
            misspelt.push_back(name.substr(0, i) + "q" + name.substr(i));
            if (i > 0 && name[i] != name[i - 1]) {
                std::string swapped = name;
                std::swap(swapped[i], swapped[i - 1]);
                misspelt.push_back(swapped);
            }
        }
        for (const std::string& word : misspelt) {
            const std::string text = document(key, word + " = " + samples.at(path_of(key)).valid);
            CAPTURE(text);
            const auto errors = errors_in(text);
            const auto unknown =
                std::find_if(errors.begin(), errors.end(), [](const Diagnostic& one) {
                    return one.code == "E1204";
                });
            REQUIRE(unknown != errors.end());
            CHECK(unknown->width == word.size());
            CHECK(unknown->hint.starts_with("did you mean `" + name + "`? "));
        }
    }
}

TEST_CASE("keys: what an element must have is missed at its header", "[unit][settings]") {
    for (const KeyFacts& key : known_keys()) {
        if (!key.is_required)
            continue;
        const auto errors = errors_in(document(key, ""));
        REQUIRE(errors.size() == 1);
        CHECK(errors.front().code == "E1210");
        CHECK(errors.front().position == Position{1, 1});
        CHECK(errors.front().message == "`" + told_path_of(key) + "` is missing");
    }
}

TEST_CASE("keys: config/agent.toml names every key under its table", "[unit][settings]") {
    std::string table;
    std::vector<std::string> named;
    for (const std::string& line :
         split(test::content_of(test::repository() / "config/agent.toml"), '\n')) {
        CHECK((line.empty() || line.starts_with('#')));
        const std::string body{trim(std::string_view{line}.substr(line.empty() ? 0 : 1))};
        if (body.starts_with('[') && body.ends_with(']'))
            table = body.substr(body.find_last_of('[') + 1,
                                body.find(']') - body.find_last_of('[') - 1);
        else if (const auto equals = body.find(" = "); equals != std::string::npos)
            named.push_back((table.empty() ? "" : table + ".") + body.substr(0, equals));
    }
    for (const KeyFacts& key : known_keys()) {
        CAPTURE(path_of(key));
        CHECK(std::find(named.begin(), named.end(), path_of(key)) != named.end());
    }
}

TEST_CASE("keys: what config/agent.toml shows of each key is a right configuration",
          "[unit][settings]") {
    std::string text;
    std::string table;
    for (const std::string& line :
         split(test::content_of(test::repository() / "config/agent.toml"), '\n')) {
        const std::string body{trim(std::string_view{line}.substr(line.empty() ? 0 : 1))};
        const auto equals = body.find(" = ");
        const bool is_key =
            equals != std::string::npos && body.substr(0, equals).find_first_not_of(
                                               "abcdefghijklmnopqrstuvwxyz_") == std::string::npos;
        const bool is_header = body.starts_with('[') && body.ends_with(']');
        const bool is_cut = body.find("…") != std::string::npos;
        if (is_header)
            table = body;
        const bool is_without_conda = table == "[python]" && body.starts_with("version = ");
        const bool is_shown = is_header || (is_key && !is_cut && !is_without_conda);
        text += (is_shown ? body : "#") + "\n";
    }
    CAPTURE(text);
    // The default kind has no conda, so that most keys go only with another one.
    const std::vector<ConfigSource> sources{{source_name, text},
                                            {"kind", "[python]\nkind = \"miniforge\"\n"}};
    for (const Diagnostic& diagnostic : read_configuration(sources).diagnostics)
        if (diagnostic.severity == Severity::error)
            FAIL_CHECK(one_line(diagnostic));
}
