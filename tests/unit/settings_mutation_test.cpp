#include "agent/settings.hpp"
#include "tests/support/repository.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using agent::Colours;
using agent::ConfigSource;
using agent::Diagnostic;
using agent::Position;
using agent::test::content_of;
using agent::test::repository;

namespace {

// Secrets wherever one may be written by mistake, whole or in parts of lines.
const std::string with_secrets = R"(schema = 1
[machine]
user = "ada"
[network]
proxy = "http://user:CANARY@proxy.example.com:3128"
no_proxy = [".example.com", "10.0.0.0/8"]
[[apt.repository]]
name = "a"
url = "https://user:CANARY@packages.example.com/apt"
suite = "{codename}"
components = ["main"]
key = """
-----BEGIN PGP PRIVATE KEY BLOCK-----

CANARYCANARY
CANARY
-----END PGP PRIVATE KEY BLOCK-----
"""
[python]
index_url = "https://user:CANARY@pypi.example.com/simple"
packages = [
  "pandas", # first
  "numpy>=1",
]
[jupyter]
password_hash = "hunter2 CANARY"
token = '''
  CANARY
CANARY
'''
port = 8888
secret = { a = "CANARY", b = 1 }
allow_sudo = true
[tls]
names = ["a.example", "é"]
)";

class Mutator {
public:
    explicit Mutator(std::uint32_t seed) : random_{seed} {}

    std::string operator()(std::string text) {
        for (std::size_t n = below(3) + 1; n > 0 && text.size() > 8; --n)
            mutate(text);
        return text;
    }

private:
    std::size_t below(std::size_t limit) { return random_() % limit; }

    void mutate(std::string& text) {
        constexpr std::string_view bytes = "\"\"'=[]{}#.\n\n\\ ,x0-\t\x01\xFF";
        const std::size_t at = below(text.size());
        switch (below(7)) {
        case 0:
            text.erase(at, 1);
            break;
        case 1:
            text.insert(at, 1, bytes[below(bytes.size())]);
            break;
        case 2:
            text[at] = bytes[below(bytes.size())];
            break;
        case 3:
            text.erase(at, below(6));
            break;
        case 4:
            text.insert(start_of_line(text, at), line_at(text, at) + "\n");
            break;
        case 5: { // a line moves
            const std::string line = line_at(text, at);
            text.erase(start_of_line(text, at), line.size());
            text.insert(start_of_line(text, below(text.size() + 1)), line + "\n");
            break;
        }
        default:
            if (below(8) == 0)
                text.resize(at);
            break;
        }
    }

    static std::size_t start_of_line(const std::string& text, std::size_t at) {
        return at == 0 ? 0 : text.rfind('\n', at - 1) + 1; // npos + 1 is 0
    }
    static std::string line_at(const std::string& text, std::size_t at) {
        const std::size_t start = start_of_line(text, at);
        return text.substr(start, text.find('\n', start) - start);
    }

    std::mt19937 random_; // its numbers are the same everywhere
};

bool lies_inside(const Diagnostic& diagnostic, const std::string& text) {
    if (diagnostic.position == Position{})
        return true;
    std::size_t start = 0;
    for (std::uint32_t line = 1; line < diagnostic.position.line; ++line) {
        start = text.find('\n', start);
        if (start++ == std::string::npos)
            return false;
    }
    const std::size_t length = std::min(text.find('\n', start), text.size()) - start;
    return diagnostic.position.column >= 1 && diagnostic.position.column <= length + 1 &&
           diagnostic.width >= 1 && diagnostic.width <= length + 1;
}

void check_mutants(const std::string& document, std::uint32_t seed, int count) {
    Mutator mutant{seed};
    for (int i = 0; i < count; ++i) {
        const std::vector<ConfigSource> sources{{"a.toml", mutant(document)}};
        const auto read = agent::read_configuration(sources);
        std::string told;
        bool inside = true;
        for (const Diagnostic& diagnostic : read.diagnostics) {
            told += render(diagnostic, sources, Colours::off) + one_line(diagnostic);
            inside = inside && lies_inside(diagnostic, sources.front().text);
        }
        if (!inside || told.find("CANARY") != std::string::npos) {
            CAPTURE(i, sources.front().text, told);
            FAIL("a secret is shown, or a place lies outside the document");
        }
    }
}

} // namespace

TEST_CASE("settings: no mutant of a document shows its secrets or points outside it",
          "[unit][settings]") {
    check_mutants(with_secrets, 20260822, 1000);
}

TEST_CASE("settings: no mutant of an example points outside it", "[unit][settings]") {
    std::uint32_t seed = 1;
    for (const auto& entry : std::filesystem::directory_iterator{repository() / "config/examples"})
        check_mutants(content_of(entry.path()), seed++, 500);
    check_mutants(content_of(repository() / "tests/data/diagnostics/valid.toml"), seed, 1000);
}
