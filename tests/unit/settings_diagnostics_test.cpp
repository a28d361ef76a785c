#include "agent/commands/check.hpp"
#include "tests/support/repository.hpp"

#include <catch2/catch_test_macros.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

using agent::check_command;
using agent::test::content_of;
using agent::test::repository;

namespace {

std::vector<std::filesystem::path> documents_in(const std::filesystem::path& directory) {
    std::vector<std::filesystem::path> found;
    for (const auto& entry : std::filesystem::directory_iterator{directory})
        if (entry.path().extension() == ".toml")
            found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
}

std::string without(std::string text, const std::string& part) {
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at))
        text.erase(at, part.size());
    return text;
}

struct Told {
    int exit_code = 0;
    std::string out;
    std::string err;
};

// As if it was run where the file lies.
Told check(const std::filesystem::path& file, bool json) {
    std::ostringstream out;
    std::ostringstream err;
    const int exit_code = check_command({{file}, json}, out, err);
    const std::string directory = file.parent_path().string() + "/";
    return {exit_code, without(out.str(), directory), without(err.str(), directory)};
}

// The files are written anew with UPDATE_DIAGNOSTICS=1; what changed in them is for review.
void compare(const std::string& told, std::filesystem::path file, const std::string& extension) {
    file.replace_extension(extension);
    if (std::getenv("UPDATE_DIAGNOSTICS"))
        std::ofstream{file, std::ios::binary} << told;
    REQUIRE(std::filesystem::exists(file));
    CHECK(told == content_of(file));
}

} // namespace

TEST_CASE("diagnostics: every wrong document is told in the words that its neighbours keep",
          "[unit][settings]") {
    const auto documents = documents_in(repository() / "tests/data/diagnostics");
    REQUIRE(documents.size() > 70);
    for (const auto& document : documents) {
        INFO(document.filename().string());
        const Told told = check(document, false);
        const Told json = check(document, true);
        const std::string name = document.stem().string();
        const bool valid =
            name.starts_with("valid") || name.starts_with("warning") || name.starts_with("note");
        CHECK(told.exit_code == (valid ? 0 : 1));
        CHECK(json.exit_code == told.exit_code);
        CHECK(json.err.empty());
        CHECK(told.out.empty() == !valid);
        CHECK((told.out + told.err + json.out).find("CANARY") == std::string::npos);
        compare(told.err, document, ".stderr");
        compare(json.out, document, ".json");
    }
}

TEST_CASE("diagnostics: no line that is shown is wider than a terminal, but for the first",
          "[unit][settings]") {
    for (const auto& document : documents_in(repository() / "tests/data/diagnostics")) {
        std::istringstream lines{check(document, false).err};
        for (std::string line; std::getline(lines, line);) {
            const auto width = std::count_if(line.begin(), line.end(), [](char c) {
                return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
            });
            const bool is_first = line.starts_with("error[") || line.starts_with("warning[");
            const bool has_label = line.find('^') != std::string::npos;
            if (!is_first && !has_label && width > 80) {
                CAPTURE(document.filename().string(), line);
                FAIL("too wide");
            }
        }
    }
}

TEST_CASE("diagnostics: every example is valid, without a word", "[unit][settings]") {
    const auto examples = documents_in(repository() / "config/examples");
    REQUIRE_FALSE(examples.empty());
    for (const auto& example : examples) {
        const Told told = check(example, false);
        INFO(example.filename().string() << ": " << told.err);
        CHECK(told.exit_code == 0);
        CHECK(told.err.empty());
    }
}
