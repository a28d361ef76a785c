#include "agent/ports/layout.hpp"
#include "agent/report/step_log.hpp"
#include "agent/report/step_log_reader.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Words = std::vector<std::string>;

namespace {

class Logs {
public:
    Logs() { std::filesystem::create_directories(directory()); }
    [[nodiscard]] std::filesystem::path directory() const { return root() / layout::log_directory; }
    [[nodiscard]] Root root() const { return root_.root(); }
    void raw(const std::string& name, std::string_view text) const {
        std::ofstream{directory() / name, std::ios::app | std::ios::binary} << text;
    }

    FakeClock clock;

private:
    TempRoot root_{TempRoot::in_memory()};

public:
    StepLog log{root(), clock};
};

Words texts(StepLogReader& reader) {
    Words found;
    for (const auto& line : reader.next().value())
        found.push_back(line.step + ": " + line.text);
    return found;
}

} // namespace

TEST_CASE("step log: without logs there is nothing to read", "[unit][report]") {
    const TempRoot root;
    CHECK(StepLogReader::steps(root.root()).value().empty());
    StepLogReader all{root.root(), ""};
    CHECK(all.next().value().empty());
    StepLogReader one{root.root(), "python"};
    CHECK(one.next().value().empty());
}

TEST_CASE("step log: what was written is read once, then what comes", "[unit][report]") {
    Logs logs;
    logs.log.line("python", "one");
    logs.log.line("apt_packages", "of another step");
    StepLogReader reader{logs.root(), "python"};
    const auto lines = reader.next().value();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].text == "one");
    CHECK(lines[0].time == "2023-11-14T23:13:20Z");
    CHECK(texts(reader).empty());
    logs.log.line("python", "two");
    CHECK(texts(reader) == Words{"python: two"});
}

TEST_CASE("step log: the lines of all steps come in the order of their times", "[unit][report]") {
    Logs logs;
    StepLogReader reader{logs.root(), ""};
    logs.log.line("python", "first");
    logs.clock.advance(1s);
    logs.log.line("apt_packages", "second");
    logs.raw("apt_packages.log", "without a time\n");
    logs.clock.advance(1s);
    logs.log.line("python", "third");
    CHECK(StepLogReader::steps(logs.root()).value() == Words{"apt_packages", "python"});
    CHECK(texts(reader) == Words{"python: first",
                                 "apt_packages: second",
                                 "apt_packages: without a time",
                                 "python: third"});
    logs.log.line("front", "a step that says something only now");
    CHECK(texts(reader) == Words{"front: a step that says something only now"});
}

TEST_CASE("step log: nothing is lost when a file is replaced", "[unit][report]") {
    Logs logs;
    logs.raw("python.log.1", "2023-11-14T00:00:00Z earlier\n");
    logs.log.line("python", "one");
    StepLogReader reader{logs.root(), "python"};
    CHECK(texts(reader) == Words{"python: earlier", "python: one"});
    logs.log.line("python", "two");
    std::filesystem::rename(logs.directory() / "python.log", logs.directory() / "python.log.1");
    CHECK(texts(reader) == Words{"python: two"});
    logs.log.line("python", "three");
    CHECK(texts(reader) == Words{"python: three"});
    logs.log.line("python", "four");
    std::filesystem::rename(logs.directory() / "python.log", logs.directory() / "python.log.1");
    logs.log.line("python", "five");
    CHECK(texts(reader) == Words{"python: four", "python: five"});
}

TEST_CASE("step log: half a line waits for its other half", "[unit][report]") {
    Logs logs;
    StepLogReader reader{logs.root(), "python"};
    logs.raw("python.log", "2023-11-14T00:00:00Z half ");
    CHECK(texts(reader).empty());
    logs.raw("python.log", "and half\n");
    CHECK(texts(reader) == Words{"python: half and half"});
    logs.raw("python.log", std::string(100'000, 'x'));
    CHECK(texts(reader).empty());
    logs.raw("python.log", "\n2023-11-14T00:00:01Z after\n");
    const auto after = texts(reader);
    CHECK(after.back() == "python: after");
}

TEST_CASE("step log: control characters do not reach a terminal, lines are bounded",
          "[unit][report]") {
    Logs logs;
    logs.raw("python.log",
             "2023-11-14T00:00:00Z \x1b[2J\x07 red\n2023-11-14T00:00:00Z " +
                 std::string(50'000, 'x') + "\n");
    StepLogReader reader{logs.root(), "python"};
    const auto lines = reader.next().value();
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].text == "?[2J? red");
    CHECK(lines[1].text.size() < 5000);
}

TEST_CASE("step log: a link or a FIFO in a log's place is not followed", "[unit][report]") {
    Logs logs;
    logs.raw("secret", "2023-11-14T00:00:00Z a secret\n");
    std::filesystem::create_symlink(logs.directory() / "secret", logs.directory() / "link.log");
    REQUIRE(::mkfifo((logs.directory() / "fifo.log").c_str(), 0600) == 0);
    logs.log.line("python", "one");
    StepLogReader reader{logs.root(), ""};
    CHECK(texts(reader) == Words{"python: one"});
}
