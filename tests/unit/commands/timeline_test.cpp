#include "agent/base/boot_time.hpp"
#include "agent/base/log.hpp"
#include "agent/base/text.hpp"
#include "agent/commands/columns.hpp"
#include "agent/commands/timeline.hpp"
#include "agent/ports/layout.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Kind = TimelineEvent::Kind;
using Words = std::vector<std::string>;

namespace {

TimelineEvent
change(double at, std::string id, std::string state, std::string doing = {}, std::string why = {}) {
    return {.at = at,
            .state = std::move(state),
            .step = std::move(id),
            .doing = std::move(doing),
            .why = std::move(why)};
}

std::vector<TimelineEvent> begin_of_boot() {
    return {{.kind = Kind::boot,
             .at = 2.1,
             .boot_id = "0123456789abcdef0123456789abcdef",
             .wall = std::chrono::system_clock::time_point{std::chrono::seconds{1'700'000'002}}}};
}

// Twelve steps, twenty seconds.
std::vector<TimelineEvent> small_boot() {
    auto events = begin_of_boot();
    events.push_back({.kind = Kind::run,
                      .at = 2.5,
                      .steps = {{"disk_space", {}},
                                {"service_user", {}},
                                {"apt_packages", {"disk_space"}},
                                {"tls_certificate", {}},
                                {"python", {"service_user", "apt_packages"}},
                                {"python_packages", {"python"}},
                                {"shell_setup", {"python"}},
                                {"jupyter_config", {"service_user"}},
                                {"front", {"tls_certificate", "jupyter_config"}},
                                {"jupyter_unit", {"python_packages", "jupyter_config"}},
                                {"ready", {"front", "jupyter_unit"}}}});
    struct Took {
        const char* id;
        double from, to;
    };
    for (const auto& [id, from, to] : {Took{"disk_space", 2.5, 2.6},
                                       Took{"service_user", 2.5, 2.7},
                                       Took{"tls_certificate", 2.5, 2.8},
                                       Took{"jupyter_config", 2.7, 2.75},
                                       Took{"front", 2.8, 3.3},
                                       Took{"python", 8.3, 10.4},
                                       Took{"python_packages", 10.4, 17.4},
                                       Took{"shell_setup", 10.4, 10.5},
                                       Took{"jupyter_unit", 17.4, 19.8},
                                       Took{"ready", 19.8, 20.0}}) {
        events.push_back(change(from, id, "running", "working"));
        events.push_back(change(to, id, "applied"));
    }
    events.push_back(change(2.6, "apt_packages", "running", "working"));
    events.push_back(change(3.5,
                            "apt_packages",
                            "running",
                            "held_up",
                            "waiting up to 10 min for process 812 (/usr/bin/apt-get), which holds "
                            "/var/lib/dpkg/lock-frontend"));
    events.push_back(change(5.5, "apt_packages", "running", "working"));
    events.push_back(change(8.3, "apt_packages", "applied"));
    events.push_back({.kind = Kind::machine, .at = 20, .state = "ready"});
    return events;
}

// Forty steps; one takes forty minutes, one fails, one is blocked by it.
std::vector<TimelineEvent> large_boot() {
    auto events = begin_of_boot();
    TimelineEvent run{.kind = Kind::run, .at = 3};
    for (int i = 0; i < 36; ++i)
        run.steps.push_back(
            {"repository:notebooks-" + std::to_string(i),
             i < 6 ? Words{} : Words{"repository:notebooks-" + std::to_string(i - 6)}});
    run.steps.push_back(
        {"dataset:imagenet-object-localization-challenge", {"repository:notebooks-3"}});
    run.steps.push_back({"bucket:<b>&\"c\"", {}});
    run.steps.push_back({"script:load", {"bucket:<b>&\"c\""}});
    run.steps.push_back({"ready", {"repository:notebooks-35"}});
    events.push_back(run);
    for (int i = 0; i < 36; ++i) {
        const double from = 3 + i / 6 * 40.0;
        events.push_back(
            change(from, run.steps[static_cast<std::size_t>(i)].id, "running", "working"));
        events.push_back(change(from + (i % 6 == 5 ? 40 : 5 + i % 6 * 3),
                                run.steps[static_cast<std::size_t>(i)].id,
                                "applied"));
    }
    events.push_back(change(3, "bucket:<b>&\"c\"", "running", "working"));
    for (int i = 0; i < 4; ++i) {
        events.push_back(change(60 + i * 120,
                                "bucket:<b>&\"c\"",
                                "running",
                                "trying_again",
                                "trying again: gcsfuse exited with status 1: <html>&amp;</html>"));
        events.push_back(change(90 + i * 120, "bucket:<b>&\"c\"", "running", "working"));
    }
    events.push_back(change(700, "bucket:<b>&\"c\"", "failed", {}, "the bucket does not exist"));
    events.push_back(
        change(700, "script:load", "blocked", {}, "needs bucket:<b>&\"c\", which failed"));
    events.push_back(
        change(17, "dataset:imagenet-object-localization-challenge", "running", "working"));
    events.push_back(change(100,
                            "dataset:imagenet-object-localization-challenge",
                            "waiting",
                            {},
                            "accept the competition's rules in a browser"));
    events.push_back(
        change(400, "dataset:imagenet-object-localization-challenge", "running", "working"));
    events.push_back(change(2417, "dataset:imagenet-object-localization-challenge", "applied"));
    events.push_back(change(243, "ready", "running", "working"));
    events.push_back(change(244, "ready", "satisfied"));
    events.push_back({.kind = Kind::machine, .at = 2417, .state = "degraded"});
    return events;
}

Timeline timeline(const std::vector<TimelineEvent>& events) {
    auto made = make_timeline(events);
    REQUIRE(made);
    return *made;
}

std::size_t widest_line(const std::string& text) {
    std::size_t widest = 0;
    for (const auto& line : split(text, '\n'))
        widest = std::max(widest, columns(line));
    return widest;
}

class Asked {
public:
    Asked() { std::filesystem::create_directories(root_.path() / "run/agent"); }
    void put(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories((root_.root() / path).parent_path());
        std::ofstream{root_.root() / path} << text;
    }
    void put(const std::vector<TimelineEvent>& events) const {
        std::string text;
        for (const auto& event : events)
            text += to_line(event) + "\n";
        put(layout::timeline_file, text);
    }
    int ask(TimelineOptions options = {}) {
        boost::asio::io_context io;
        return run_coroutine(
            io, timeline_command(std::move(options), {root_.root(), commands, {}}, out, err));
    }
    [[nodiscard]] std::filesystem::path path(const std::string& name) const {
        return root_.path() / name;
    }

    FakeCommands commands;
    std::ostringstream out;
    std::ostringstream err;

private:
    TempRoot root_{TempRoot::in_memory()};
};

std::string journal_of(const std::vector<TimelineEvent>& events) {
    std::string text;
    for (const auto& event : events) {
        std::string quoted;
        for (const char c : to_line(event))
            quoted += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
        text += "{\"__REALTIME_TIMESTAMP\":\"1\",\"AGENT_EVENT\":\"" + quoted + "\"}\n";
    }
    return text + "no json\n{\"AGENT_EVENT\":[1,2]}\n";
}

} // namespace

TEST_CASE("timeline: drawn for a terminal of eighty columns", "[unit][commands]") {
    const std::string text = render_timeline(timeline(small_boot()), {});
    CHECK(text == 1 + R"(
boot of 2023-11-14T22:13:19Z, 0123456789abcdef0123456789abcdef
Jupyter reachable after 20.0s
everything installed after 20.0s

STEP              START    TOOK  0 s            10 s             AFTER
(boot)             0.0s    2.5s  ####
disk_space         2.5s    0.1s     #
service_user       2.5s    0.2s     ==
tls_certificate    2.5s    0.3s     ==
apt_packages       2.6s    5.7s     ##----####                   disk_space
  waiting up to 10 min for process 812 (/usr/bin/apt-get), which holds /var/l...
jupyter_config     2.7s    0.0s      =                           service_user
front              2.8s    0.5s      =                           tls_certificate
python             8.3s    2.1s              ####                apt_packages
python_packages   10.4s    7.0s                 ############     python
shell_setup       10.4s    0.1s                 =                python
jupyter_unit      17.4s    2.4s                            ####  python_packages
ready             19.8s    0.2s                               #  jupyter_unit

# decided how long it took   = went on beside that   - was held up
)");
}

TEST_CASE("timeline: no line is wider than the terminal, and ASCII stays ASCII",
          "[unit][commands]") {
    for (const std::size_t width : {60U, 80U, 100U, 160U})
        for (const auto& boot : {small_boot(), large_boot()}) {
            TimelineView view;
            view.columns = width;
            const std::string text = render_timeline(timeline(boot), view);
            CHECK(widest_line(text) <= width);
            CHECK(std::all_of(text.begin(), text.end(), [](char c) {
                return c == '\n' || (c >= ' ' && c < 127);
            }));
            view.letters = Letters::unicode;
            view.colours = Colours::off;
            const std::string drawn = render_timeline(timeline(boot), view);
            CHECK(widest_line(drawn) <= width);
            CHECK_THAT(drawn, ContainsSubstring("█"));
        }
    CHECK(widest_line(render_timeline(timeline(small_boot()), {.columns = 5})) <= 60);
    CHECK(widest_line(render_timeline(timeline(small_boot()), {.columns = 4000})) <= 160);
}

TEST_CASE("timeline: what failed, what it blocked and what is missing is said",
          "[unit][commands]") {
    const std::string text = render_timeline(timeline(large_boot()), {});
    CHECK_THAT(text, ContainsSubstring("Jupyter reachable after 4m04s\n"));
    CHECK_THAT(text,
               ContainsSubstring(
                   "not everything installed; failed: bucket:<b>&\"c\"; blocked: script:load\n"));
    CHECK_THAT(text, ContainsSubstring("  failed: the bucket does not exist\n"));
    CHECK_THAT(text, ContainsSubstring("  blocked: needs bucket:<b>&\"c\", which failed\n"));
    CHECK_THAT(text, ContainsSubstring(". paused before trying again"));
    CHECK_THAT(text, ContainsSubstring("? waited for a person"));
    CHECK_THAT(text, ContainsSubstring("15 min"));
}

TEST_CASE("timeline: marks of a scale are round, and not too many", "[unit][commands]") {
    for (const double end : {0.05, 1.0, 7.0, 20.0, 61.0, 500.0, 2417.0, 90'000.0, 1e6}) {
        const double apart = marks_apart(end, 8);
        CHECK(end / apart <= 8);
    }
    CHECK(mark_label(0.5, 0.1) == "0.5 s");
    CHECK(mark_label(90, 30) == "90 s");
    CHECK(mark_label(120, 60) == "2 min");
    CHECK(mark_label(7200, 3600) == "2 h");
    CHECK(mark_label(0, 3600) == "0 s");
}

TEST_CASE("timeline: the picture is XML by itself, with foreign text escaped", "[unit][commands]") {
    for (const auto& boot : {small_boot(), large_boot()}) {
        const std::string svg = render_timeline_svg(timeline(boot));
        CHECK(svg.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg "
                              "xmlns=\"http://www.w3.org/2000/svg\""));
        CHECK(svg.ends_with("</svg>\n"));
        CHECK(svg.find("<script") == std::string::npos);
        CHECK(svg.find("href") == std::string::npos);
        CHECK(svg.find("<b>") == std::string::npos);
        CHECK(svg.find("<html") == std::string::npos);
        CHECK_THAT(svg, ContainsSubstring("prefers-color-scheme: dark"));
        if (const char* directory = std::getenv("AGENT_TIMELINE_PICTURES"))
            std::ofstream{std::filesystem::path{directory} /
                          (boot.size() > 50 ? "large.svg" : "small.svg")}
                << svg;
    }
    CHECK_THAT(render_timeline_svg(timeline(large_boot())),
               ContainsSubstring("bucket:&lt;b&gt;&amp;&quot;c&quot;"));
}

TEST_CASE("timeline: of this boot without asking anybody", "[unit][commands]") {
    Asked asked;
    SECTION("nothing yet") {
        CHECK(asked.ask() == 1);
        CHECK(asked.err.str() ==
              "agent timeline: no step has been run in this boot yet; see `agent status`\n");
    }
    SECTION("a boot") {
        asked.put(small_boot());
        CHECK(asked.ask() == 0);
        CHECK_THAT(asked.out.str(), ContainsSubstring("Jupyter reachable after 20.0s"));
    }
    SECTION("named") {
        asked.put("/proc/sys/kernel/random/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n");
        asked.put(small_boot());
        CHECK(asked.ask({.boot = "0123456789ABCDEF0123456789abcdef", .svg = {}}) == 0);
        CHECK(asked.ask({.boot = "01234567-89ab-cdef-0123-456789abcdef", .svg = {}}) == 0);
        CHECK(asked.ask({.boot = "0", .svg = {}}) == 0);
    }
    SECTION("as a picture") {
        asked.put(small_boot());
        const auto file = asked.path("picture.svg");
        CHECK(asked.ask({.boot = {}, .svg = file.string()}) == 0);
        CHECK(asked.out.str().empty());
        std::ifstream written{file};
        CHECK(std::string{std::istreambuf_iterator<char>{written}, {}}.ends_with("</svg>\n"));
        CHECK(asked.ask({.boot = {}, .svg = "/nowhere/at/all"}) == 1);
        CHECK_THAT(asked.err.str(), ContainsSubstring("cannot write /nowhere/at/all"));
        CHECK(asked.ask({.boot = {}, .svg = "-"}) == 0);
        CHECK(asked.out.str().ends_with("</svg>\n"));
    }
    CHECK(asked.commands.ran.empty());
}

TEST_CASE("timeline: of an earlier boot the journal is asked, for what the daemon wrote alone",
          "[unit][commands]") {
    Asked asked;
    SECTION("it has it") {
        asked.commands.when({"journalctl"}).exits(0, journal_of(small_boot()));
        CHECK(asked.ask({.boot = "-1", .svg = {}}) == 0);
        CHECK_THAT(asked.out.str(), ContainsSubstring("Jupyter reachable after 20.0s"));
        const auto& ran = asked.commands.ran.front();
        for (const std::string word :
             {"--boot=-1", "_SYSTEMD_UNIT=agent.service", "_UID=0", "--lines=20000"})
            CHECK(FakeCommands::has_word(ran, word));
        CHECK(FakeCommands::has_word(ran, std::string{"MESSAGE_ID="} + log::event_message_id));
    }
    SECTION("it has no such boot") {
        asked.commands.when({"journalctl"}).exits(1, "", "No journal boot entry found\n");
        CHECK(asked.ask({.boot = "-7", .svg = {}}) == 1);
        CHECK_THAT(asked.err.str(), ContainsSubstring("the journal has no such boot (-7)"));
    }
    SECTION("it has nothing of ours") {
        asked.commands.when({"journalctl"}).exits(0);
        CHECK(asked.ask({.boot = "-1", .svg = {}}) == 1);
        CHECK_THAT(asked.err.str(), ContainsSubstring("the journal has no step of that boot"));
    }
    SECTION("it does not answer") {
        asked.commands.when({"journalctl"}).times_out();
        CHECK(asked.ask({.boot = "-1", .svg = {}}) == 1);
        CHECK_THAT(asked.err.str(), ContainsSubstring("asking the journal"));
    }
}

TEST_CASE("timeline: what is no boot is wrong usage", "[unit][commands]") {
    Asked asked;
    for (const std::string boot :
         {"yesterday", "--file=/etc/shadow", "-", "0123456789abcdef", "-1 -f", "9999999"})
        CHECK(asked.ask({.boot = boot, .svg = {}}) == 64);
    CHECK(asked.commands.ran.empty());
}
