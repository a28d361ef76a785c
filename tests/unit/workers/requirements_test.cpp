#include "agent/ports/documents.hpp"
#include "agent/workers/requirements.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;

namespace {

Value seen(const std::string& content) {
    const TempRoot directory;
    const auto file = directory.path() / "requirements.txt";
    std::ofstream{file} << content;
    std::ostringstream out;
    REQUIRE(requirements_worker(file, ListKind::requirements, out) == 0);
    return parse_json(out.str()).value();
}

// A directory of files that include each other; the first is read.
class Files {
public:
    void put(const std::string& name, const std::string& content) const {
        const auto file = directory_.path() / name;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream{file} << content;
    }
    [[nodiscard]] Value read(ListKind kind = ListKind::requirements) const {
        std::ostringstream out;
        REQUIRE(requirements_worker(directory_.path() / "all.txt", kind, out) == 0);
        return parse_json(out.str()).value();
    }
    [[nodiscard]] std::string path(const std::string& name) const {
        return (directory_.path() / name).string();
    }

private:
    TempRoot directory_;
};

std::vector<std::string> all(const Value& seen, const std::string& key) {
    std::vector<std::string> found;
    for (const Value& entry : *seen.find("entries")->as_array())
        found.push_back(entry.string_or(key, ""));
    return found;
}

} // namespace

TEST_CASE("requirements: a text is read as a file is", "[unit][workers]") {
    std::istringstream text{"numpy==1.26.4\n-r other.txt\n"};
    std::ostringstream out;
    REQUIRE(requirements_worker(text, out) == 0);
    const Value refused = parse_json(out.str()).value();
    CHECK(refused.string_or("state", "") == "refused");
    CHECK(refused.integer_or("line", 0) == 2);
    CHECK_THAT(refused.string_or("problem", ""), ContainsSubstring("includes no other"));

    std::istringstream nothing;
    std::ostringstream said;
    REQUIRE(requirements_worker(nothing, said) == 0);
    CHECK(all(parse_json(said.str()).value(), "requirement").empty());

    std::istringstream large{std::string((1 << 20) + 1, '#')};
    std::ostringstream too_large;
    REQUIRE(requirements_worker(large, too_large) == 0);
    CHECK_THAT(parse_json(too_large.str()).value().string_or("problem", ""),
               ContainsSubstring("larger than 1048576 bytes"));
}

TEST_CASE("requirements: a file of names, versions and markers is read", "[unit][workers]") {
    const Value read = seen("# first\n\npandas>=2  # why\nnumpy==1.26.4 ; os_name == 'posix'\r\n"
                            "--only-binary=:all:\ndask[complete]\n");
    CHECK(read.string_or("state", "") == "read");
    CHECK(*read.find("hashed")->as_bool() == false);
    CHECK(all(read, "requirement") == std::vector<std::string>{"pandas>=2",
                                                               "numpy==1.26.4 ; os_name == 'posix'",
                                                               "dask[complete]"});
    const Value& last = read.find("entries")->as_array()->back();
    CHECK(last.integer_or("line", 0) == 6);
    CHECK(read.string_or("sha256", "").size() == 64);
}

TEST_CASE("requirements: a lock file's hashes go with their entry", "[unit][workers]") {
    const Value read = seen("six==1.16.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
                            "    # via x\nidna==3.4 \\\n    --hash=sha256:cc\n");
    CHECK(*read.find("hashed")->as_bool());
    CHECK(all(read, "requirement") == std::vector<std::string>{"six==1.16.0", "idna==3.4"});
    CHECK(all(read, "text") ==
          std::vector<std::string>{"six==1.16.0 --hash=sha256:aa --hash=sha256:bb",
                                   "idna==3.4 --hash=sha256:cc"});
}

TEST_CASE("requirements: what would ask others than the configuration's index is refused at its "
          "line",
          "[unit][workers]") {
    const auto& [line, words] = GENERATE(table<std::string, std::string>({
        {"--index-url https://h.example/simple", "[[python.index]]"},
        {"--extra-index-url=https://h.example/simple", "[[python.index]]"},
        {"-i https://h.example/simple", "[[python.index]]"},
        {"-f /srv/wheels", "[[python.index]]"},
        {"-e .", "-e is not taken"},
        {"numpy @ file:///croot/numpy", "URL or a path"},
        {"x @ https://h.example/x.whl", "URL or a path"},
        {"git+https://h.example/x", "URL or a path"},
        {"./x.whl", "URL or a path"},
        {"$(id)", "no requirement"},
    }));
    CAPTURE(line);
    const Value read = seen("six\n" + line + "\n");
    CHECK(read.string_or("state", "") == "refused");
    CHECK(read.integer_or("line", 0) == 2);
    CHECK_THAT(read.string_or("problem", ""), ContainsSubstring(words));
    CHECK(seen("x @ https://h.example/x.whl --hash=sha256:aa\n").string_or("state", "") == "read");
}

TEST_CASE("requirements: what is not there, is too large or too much is said", "[unit][workers]") {
    std::ostringstream out;
    REQUIRE(requirements_worker("/nonexistent/r.txt", ListKind::requirements, out) == 0);
    CHECK(parse_json(out.str()).value().string_or("state", "") == "absent");
    CHECK(seen(std::string((1U << 20U) + 1, '#')).string_or("state", "") == "refused");
    std::string many;
    for (int i = 0; i < 10'000; ++i)
        many += "x" + std::to_string(i) + "\n";
    CHECK_THAT(seen(many).string_or("problem", ""), ContainsSubstring("10000 entries"));
}

TEST_CASE("requirements: what a file includes by -r and -c belongs to it", "[unit][workers]") {
    const Files files;
    files.put("all.txt",
              "-r base/web.txt  # the rest\n--constraint=versions.txt\n-c./versions.txt\npandas\n");
    files.put("base/web.txt", "flask\n--requirement more.txt\n");
    files.put("base/more.txt", "# nothing\n\nidna==3.4 --hash=sha256:aa\n");
    files.put("versions.txt", "numpy==1.26.4\n-c base/older.txt\n");
    files.put("base/older.txt", "scipy==1.11.0\n");
    const Value read = files.read();
    CHECK(read.string_or("state", "") == "read");
    CHECK(all(read, "requirement") == std::vector<std::string>{"flask", "idna==3.4", "pandas"});
    CHECK(all(read, "file") == std::vector<std::string>{files.path("base/web.txt"),
                                                        files.path("base/more.txt"),
                                                        files.path("all.txt")});
    CHECK((*read.find("entries")->as_array())[1].integer_or("line", 0) == 3);
    CHECK(*read.find("hashed")->as_bool());
    for (const Value& one : *read.find("constraints")->as_array())
        CHECK(*one.as_string() == files.path("versions.txt"));
    const std::string before = read.string_or("sha256", "");
    const std::string changed = GENERATE("base/more.txt", "base/older.txt");
    files.put(changed, "scipy==1.11.1\n");
    CHECK(files.read().string_or("sha256", "").size() == 64);
    CHECK(files.read().string_or("sha256", "") != before);
}

TEST_CASE("requirements: an included file is read under the same rules, and told with its line",
          "[unit][workers]") {
    const auto& [content, words] = GENERATE(table<std::string, std::string>({
        {"--index-url https://h.example/simple", "[[python.index]]"},
        {"x @ https://h.example/x.whl", "URL or a path"},
        {"-r ../other.txt", "beside this one or below"},
        {"-r /etc/passwd", "beside this one or below"},
        {"-r https://h.example/r.txt", "letters, digits"},
        {"-r ${HOME}/r.txt", "letters, digits"},
        {"-r file:r.txt", "letters, digits"},
        {"-r two words.txt", "letters, digits"},
        {"-r", "names no file"},
        {"-r absent.txt", "there is no "},
        {"--requirements r.txt", "the option --requirements is not taken"},
    }));
    CAPTURE(content);
    const Files files;
    const std::string option = GENERATE("-r", "-c");
    files.put("all.txt", "six\n" + option + " part/one.txt\n");
    files.put("part/one.txt", "idna\n\n" + content + "\n");
    const Value read = files.read();
    if (option == "-c" && content.starts_with("-r"))
        CHECK_THAT(read.string_or("problem", ""), ContainsSubstring("includes others by -c alone"));
    else
        CHECK_THAT(read.string_or("problem", ""), ContainsSubstring(words));
    CHECK(read.string_or("state", "") == "refused");
    CHECK(read.string_or("file", "") == files.path("part/one.txt"));
    CHECK(read.integer_or("line", 0) == 3);
}

TEST_CASE("requirements: files that include each other in a round are told by name",
          "[unit][workers]") {
    const Files files;
    files.put("all.txt", "-r a.txt\n");
    files.put("a.txt", "six\n-r b.txt\n");
    files.put("b.txt", "-r ./all.txt\n");
    const Value read = files.read();
    CHECK(read.string_or("problem", "") == "it includes itself: all.txt → a.txt → b.txt → all.txt");
    CHECK(read.string_or("file", "") == files.path("b.txt"));
    // Twice the same is no round.
    files.put("b.txt", "idna\n");
    files.put("all.txt", "-r a.txt\n-r b.txt\n");
    CHECK(all(files.read(), "requirement") == std::vector<std::string>{"six", "idna"});
}

TEST_CASE("requirements: of included files there are ten, as large together as one may be",
          "[unit][workers]") {
    const Files files;
    std::string ten;
    for (int i = 1; i < 10; ++i) {
        const std::string name = std::to_string(i) + ".txt";
        files.put(name, "x" + name + "\n");
        ten += "-r " + name + "\n";
    }
    files.put("all.txt", ten);
    CHECK(all(files.read(), "line").size() == 9);
    files.put("10.txt", "y\n");
    files.put("all.txt", ten + "-r 10.txt\n");
    CHECK_THAT(files.read().string_or("problem", ""), ContainsSubstring("more than 10 files"));
    CHECK(files.read().integer_or("line", 0) == 10);
    files.put("all.txt", ten);
    for (const char* name : {"1.txt", "2.txt"})
        files.put(name, std::string(600'000, '#'));
    CHECK_THAT(files.read().string_or("problem", ""), ContainsSubstring("larger than 1048576"));
    std::string many;
    for (int i = 0; i < 2'600; ++i)
        many += "x\n";
    for (const char* name : {"1.txt", "2.txt"})
        files.put(name, many);
    CHECK_THAT(files.read().string_or("problem", ""), ContainsSubstring("more than 5000"));
}

TEST_CASE("requirements: a constraints file includes constraints alone", "[unit][workers]") {
    const Files files;
    files.put("all.txt", "numpy<2\n-c more.txt\n");
    files.put("more.txt", "scipy<2\n");
    const Value read = files.read(ListKind::constraints);
    CHECK(all(read, "requirement") == std::vector<std::string>{"numpy<2", "scipy<2"});
    CHECK(read.find("constraints")->as_array()->empty());
    files.put("more.txt", "-r all.txt\n");
    CHECK_THAT(files.read(ListKind::constraints).string_or("problem", ""),
               ContainsSubstring("-r would install them"));
}
