#include "agent/graph/ledger.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

LedgerEntry some_entry() {
    return {"abc", "1234567890123456789", 2, "done", ""};
}

class Disk {
public:
    Disk() { fs::create_directories(directory()); }
    [[nodiscard]] fs::path directory() const { return root_.root() / "/var/lib/agent/ledger"; }
    [[nodiscard]] Ledger open() const { return Ledger::open(root_.root()).value(); }
    [[nodiscard]] Ledger look() const { return Ledger::look(root_.root()).value(); }
    void put(const std::string& name, const std::string& content) const {
        std::ofstream file{directory() / name, std::ios::binary};
        file << content;
    }
    [[nodiscard]] std::string content(const std::string& name) const {
        std::ifstream file{directory() / name, std::ios::binary};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    [[nodiscard]] std::set<std::string> names() const {
        std::set<std::string> names;
        for (const auto& file : fs::directory_iterator{directory()})
            names.insert(file.path().filename().string());
        return names;
    }

private:
    TempRoot root_;
};

} // namespace

TEST_CASE("ledger: what was recorded is there after opening it again", "[unit][graph]") {
    const Disk disk;
    LedgerEntry failed = some_entry();
    failed.outcome = "failed";
    failed.error = "a \"quoted\" word,\nand a second line: é";
    {
        Ledger ledger = disk.open();
        REQUIRE(ledger.record("python", some_entry()).has_value());
        REQUIRE(ledger.record("apt_packages", failed).has_value());
        CHECK(*ledger.find("python") == some_entry());
    }
    const Ledger ledger = disk.open();
    REQUIRE(ledger.find("python"));
    CHECK(*ledger.find("python") == some_entry());
    REQUIRE(ledger.find("apt_packages"));
    CHECK(*ledger.find("apt_packages") == failed);
    CHECK(ledger.find("ready") == nullptr);
    CHECK(ledger.notes().empty());
}

TEST_CASE("ledger: it is made for root alone, one file a step", "[unit][graph]") {
    const TempRoot root;
    auto ledger = Ledger::open(root.root()).value();
    REQUIRE(ledger.record("python", some_entry()).has_value());
    const auto mode = [](const fs::path& path) {
        struct stat status{};
        REQUIRE(::stat(path.c_str(), &status) == 0);
        return status.st_mode & 0777U;
    };
    const auto directory = root.root() / "/var/lib/agent/ledger";
    CHECK(mode(directory) == 0700U);
    CHECK(mode(directory / "python.json") == 0600U);
}

TEST_CASE("ledger: what is there already is not written again", "[unit][graph]") {
    const Disk disk;
    REQUIRE(disk.open().record("python", some_entry()).has_value());
    const auto file = disk.directory() / "python.json";
    // A second name keeps the inode number from being given to the next file.
    fs::create_hard_link(file, disk.directory() / "kept");
    const auto state = [&] {
        struct stat status{};
        REQUIRE(::stat(file.c_str(), &status) == 0);
        return std::pair{status.st_ino, status.st_mtim.tv_nsec};
    };
    const auto before = state();
    Ledger ledger = disk.open();
    REQUIRE(ledger.record("python", some_entry()).has_value());
    CHECK(state() == before);
    LedgerEntry other = some_entry();
    other.attempts += 1;
    REQUIRE(ledger.record("python", other).has_value());
    CHECK(state() != before);
}

TEST_CASE("ledger: what cannot be read is set aside, kept and told, and its step was never done",
          "[unit][graph]") {
    struct Row {
        std::string content;
        std::string why;
    };
    const std::string whole = R"({"version":1,"fingerprint":"abc","outcome":"done"})";
    const auto row =
        GENERATE_COPY(Row{"", ""},
                      Row{"\n", ""},
                      Row{whole.substr(0, 20), ""},
                      Row{whole + "}", ""},
                      Row{std::string(64, '\0'), ""},
                      Row{whole.substr(0, 30) + std::string(30, '\0'), ""},
                      Row{std::string("\xff\xfe\x00\x01", 4), ""},
                      Row{R"({"version":2,"fingerprint":"abc"})", "version 2, this agent knows 1"},
                      Row{R"({"version":9223372036854775807})", "version 9223372036854775807"},
                      Row{R"({"version":"1"})", "no version"},
                      Row{R"({"fingerprint":"abc"})", "no version"},
                      Row{R"(["version",1])", "no version"},
                      Row{"null", "no version"},
                      Row{std::string(100'000, ' ') + whole, "larger than 65536 bytes"},
                      Row{std::string(60'000, '['), ""});
    const Disk disk;
    disk.put("python.json", row.content);
    disk.put("ready.json", whole);
    const Ledger ledger = disk.open();
    CHECK(ledger.find("python") == nullptr);
    CHECK(ledger.find("ready") != nullptr);
    REQUIRE(ledger.notes().size() == 1);
    CHECK_THAT(ledger.notes().front(), ContainsSubstring("python.json was set aside"));
    CHECK_THAT(ledger.notes().front(), ContainsSubstring(row.why));
    CHECK(disk.names() == std::set<std::string>{"python.json.set-aside-1", "ready.json"});
    CHECK(disk.content("python.json.set-aside-1") == row.content);
}

TEST_CASE("ledger: what is no file of ours is set aside as well", "[unit][graph]") {
    const Disk disk;
    const auto odd = disk.directory() / "python.json";
    SECTION("a directory") {
        fs::create_directory(odd);
    }
    SECTION("a FIFO that nobody writes") {
        REQUIRE(::mkfifo(odd.c_str(), 0600) == 0);
    }
    SECTION("a link") {
        disk.put("elsewhere", R"({"version":1})");
        fs::create_symlink("elsewhere", odd);
    }
    Ledger ledger = disk.open();
    CHECK(ledger.find("python") == nullptr);
    CHECK(ledger.notes().size() == 1);
    CHECK(ledger.record("python", some_entry()).has_value());
    CHECK(*disk.open().find("python") == some_entry());
}

TEST_CASE("ledger: members of another type count as absent", "[unit][graph]") {
    const Disk disk;
    disk.put("python.json",
             R"({"version":1,"fingerprint":7,"instance_id":null,"attempts":"many","outcome":[],)"
             R"("error":"kept","added later":true})");
    const Ledger ledger = disk.open();
    REQUIRE(ledger.find("python"));
    CHECK(*ledger.find("python") == LedgerEntry{"", "", 0, "", "kept"});
}

TEST_CASE("ledger: attempts out of range are brought into it", "[unit][graph]") {
    struct Row {
        std::string number;
        unsigned attempts;
    };
    const auto row = GENERATE(Row{"-5", 0},
                              Row{"3", 3},
                              Row{"9223372036854775807", 1'000'000},
                              Row{"18446744073709551615", 0},
                              Row{"1.5", 0});
    const Disk disk;
    disk.put("python.json", R"({"version":1,"attempts":)" + row.number + "}");
    CHECK(disk.open().find("python")->attempts == row.attempts);
}

TEST_CASE("ledger: three corrupt files are kept, the next one takes the place of the last",
          "[unit][graph]") {
    const Disk disk;
    for (const std::string content : {"first", "second", "third", "fourth", "fifth"}) {
        disk.put("python.json", content);
        CHECK(disk.open().notes().size() == 1);
    }
    CHECK(disk.names() == std::set<std::string>{"python.json.set-aside-1",
                                                "python.json.set-aside-2",
                                                "python.json.set-aside-3"});
    CHECK(disk.content("python.json.set-aside-1") == "first");
    CHECK(disk.content("python.json.set-aside-2") == "second");
    CHECK(disk.content("python.json.set-aside-3") == "fifth");
}

TEST_CASE("ledger: a write that a crash cut short leaves nothing behind", "[unit][graph]") {
    const Disk disk;
    REQUIRE(disk.open().record("python", some_entry()).has_value());
    disk.put(".python.json.a1B2c3", R"({"versi)");
    const Ledger ledger = disk.open();
    CHECK(disk.names() == std::set<std::string>{"python.json"});
    CHECK(*ledger.find("python") == some_entry());
    CHECK(ledger.notes().empty());
}

TEST_CASE("ledger: opening and reading it changes nothing", "[unit][graph]") {
    const Disk disk;
    REQUIRE(disk.open().record("python", some_entry()).has_value());
    const auto before = fs::last_write_time(disk.directory());
    CHECK(disk.open().find("python"));
    CHECK(fs::last_write_time(disk.directory()) == before);
}

TEST_CASE("ledger: what cannot be recorded is an Error, and what was known stays",
          "[unit][graph]") {
    const Disk disk;
    Ledger ledger = disk.open();
    REQUIRE(ledger.record("python", some_entry()).has_value());
    fs::remove_all(disk.directory());
    LedgerEntry other = some_entry();
    other.attempts = 9;
    const auto recorded = ledger.record("python", other);
    REQUIRE(recorded.has_error());
    CHECK_THAT(recorded.error().message, ContainsSubstring("recording python in the ledger"));
    CHECK(*ledger.find("python") == some_entry());
}

TEST_CASE("ledger: where its directory cannot be, it does not open", "[unit][graph]") {
    const TempRoot root;
    fs::create_directories(root.root() / "/var/lib/agent");
    std::ofstream{root.root() / "/var/lib/agent/ledger"} << "a file";
    const auto ledger = Ledger::open(root.root());
    REQUIRE(ledger.has_error());
    CHECK_THAT(ledger.error().message, ContainsSubstring("opening the ledger"));
}

TEST_CASE("ledger: looking leaves a corrupt file where it is and tells it", "[unit][graph]") {
    const Disk disk;
    {
        Ledger ledger = disk.open();
        REQUIRE(ledger.record("good", some_entry()).has_value());
    }
    disk.put("bad.json", "{\"version\":");
    disk.put(".bad.json.123", "cut short");
    const auto before = disk.names();
    const auto ledger = disk.look();
    REQUIRE(ledger.find("good"));
    CHECK(*ledger.find("good") == some_entry());
    CHECK_FALSE(ledger.find("bad"));
    REQUIRE(ledger.notes().size() == 1);
    CHECK_THAT(ledger.notes().front(), ContainsSubstring("bad.json cannot be used"));
    CHECK(disk.names() == before);
}

TEST_CASE("ledger: looking makes no directory", "[unit][graph]") {
    const TempRoot fresh;
    CHECK(Ledger::look(fresh.root()).value().notes().empty());
    CHECK(fs::is_empty(fresh.path()));
}
