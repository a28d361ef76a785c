#include "agent/ports/layout.hpp"
#include "agent/report/timeline.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::WithinAbs;
using Kind = TimelineEvent::Kind;
using Doing = Timeline::Doing;

namespace {

// A boot as the daemon tells of it.
class Boot {
public:
    Boot() {
        events.push_back(
            {.kind = Kind::boot,
             .at = 2,
             .boot_id = "b1",
             .wall = std::chrono::system_clock::time_point{std::chrono::seconds{1000}}});
        machine(2, "starting");
    }
    Boot& machine(double at, std::string state) {
        events.push_back({.kind = Kind::machine, .at = at, .state = std::move(state)});
        return *this;
    }
    Boot& run(double at) {
        events.push_back(
            {.kind = Kind::run,
             .at = at,
             .steps = {
                 {"apt", {}}, {"user", {}}, {"python", {"apt", "user"}}, {"ready", {"python"}}}});
        return *this;
    }
    Boot& step(double at,
               std::string id,
               std::string state,
               std::string doing = {},
               std::string why = {}) {
        events.push_back({.at = at,
                          .state = std::move(state),
                          .step = std::move(id),
                          .doing = std::move(doing),
                          .why = std::move(why)});
        return *this;
    }
    Boot& takes(double from, double to, const std::string& id) {
        return step(from, id, "running", "working").step(to, id, "applied");
    }
    [[nodiscard]] Timeline timeline(std::optional<double> now = {}) const {
        auto made = make_timeline(events, now);
        REQUIRE(made);
        return *made;
    }
    std::vector<TimelineEvent> events;
};

const Timeline::Row& row(const Timeline& timeline, const std::string& id) {
    const auto found = std::find_if(
        timeline.rows.begin(), timeline.rows.end(), [&](const auto& one) { return one.id == id; });
    REQUIRE(found != timeline.rows.end());
    return *found;
}

Boot a_good_boot() {
    Boot boot;
    boot.run(3)
        .takes(3, 9, "apt")
        .takes(3, 4, "user")
        .takes(9, 12, "python")
        .takes(12, 13, "ready");
    boot.machine(13, "ready");
    return boot;
}

} // namespace

TEST_CASE("timeline: each step's start, length and the need that ended last", "[unit][report]") {
    const Timeline timeline = a_good_boot().timeline();
    CHECK(timeline.boot_id == "b1");
    CHECK(timeline.booted == std::chrono::system_clock::time_point{std::chrono::seconds{998}});
    CHECK_THAT(timeline.agent_began, WithinAbs(2, 1e-9));
    CHECK_THAT(timeline.run_began, WithinAbs(3, 1e-9));
    CHECK_THAT(row(timeline, "python").start(), WithinAbs(9, 1e-9));
    CHECK_THAT(row(timeline, "python").took(), WithinAbs(3, 1e-9));
    CHECK(row(timeline, "python").after == "apt");
    CHECK(row(timeline, "apt").after.empty());
    CHECK_FALSE(timeline.going_on);
}

TEST_CASE("timeline: the way that decided how long the boot took", "[unit][report]") {
    const Timeline timeline = a_good_boot().timeline();
    for (const char* id : {"apt", "python", "ready"})
        CHECK(row(timeline, id).critical);
    CHECK_FALSE(row(timeline, "user").critical);
}

TEST_CASE("timeline: both totals count from the boot", "[unit][report]") {
    SECTION("all at once") {
        const Timeline timeline = a_good_boot().timeline();
        CHECK(timeline.jupyter == 13.0);
        CHECK(timeline.everything == 13.0);
    }
    SECTION("Jupyter while a step goes on") {
        Boot boot;
        boot.run(3).takes(3, 4, "user").takes(4, 5, "python").takes(5, 6, "ready");
        boot.step(3, "apt", "running", "working");
        const Timeline timeline = boot.timeline(100.0);
        CHECK(timeline.jupyter == 6.0);
        CHECK_FALSE(timeline.everything);
        CHECK(timeline.going_on);
        CHECK_THAT(timeline.end, WithinAbs(100, 1e-9));
        CHECK(row(timeline, "ready").critical);
    }
    SECTION("one failed") {
        Boot boot;
        boot.run(3).takes(3, 4, "user").step(3, "apt", "running", "working");
        boot.step(5, "apt", "failed", {}, "no such package");
        boot.step(5, "python", "blocked", {}, "needs apt, which failed").machine(5, "failed");
        const Timeline timeline = boot.timeline(50.0);
        CHECK_FALSE(timeline.jupyter);
        CHECK_FALSE(timeline.everything);
        CHECK_FALSE(timeline.going_on);
        CHECK_THAT(timeline.end, WithinAbs(5, 1e-9));
        CHECK(row(timeline, "apt").critical);
        CHECK(row(timeline, "apt").notes == std::vector<std::string>{"failed: no such package"});
        CHECK_FALSE(row(timeline, "python").began());
        CHECK(timeline.rows.back().id != "apt"); // what never began is last
    }
}

TEST_CASE("timeline: retries, locks and persons are seen", "[unit][report]") {
    Boot boot;
    boot.run(3).step(3, "apt", "running", "working");
    boot.step(4, "apt", "running", "held_up", "waiting for process 7");
    boot.step(6, "apt", "running", "working");
    boot.step(7, "apt", "running", "trying_again", "trying again: no mirror");
    boot.step(8, "apt", "running", "working");
    boot.step(9, "apt", "waiting", {}, "add the key").step(19, "apt", "running", "working");
    boot.step(20, "apt", "applied");
    const Timeline timeline = boot.timeline();
    const auto& apt = row(timeline, "apt");
    std::vector<Doing> doings;
    for (const auto& stretch : apt.stretches)
        doings.push_back(stretch.doing);
    using enum Doing;
    CHECK(doings == std::vector{working, held_up, working, trying_again, working, person, working});
    CHECK(apt.retries == 1);
    CHECK_THAT(apt.took(), WithinAbs(17, 1e-9));
    CHECK(apt.notes == std::vector<std::string>{
                           "waiting for process 7", "trying again: no mirror", "add the key"});
}

TEST_CASE("timeline: a run after a failed one goes on in the same rows", "[unit][report]") {
    Boot boot;
    boot.run(3).takes(3, 4, "user").step(3, "apt", "running", "working");
    boot.step(5, "apt", "failed", {}, "no mirror").machine(5, "failed");
    boot.machine(65, "provisioning").run(65);
    boot.step(65, "user", "running", "working").step(65.1, "user", "satisfied");
    boot.takes(65, 70, "apt").takes(70, 72, "python").takes(72, 73, "ready").machine(73, "ready");
    const Timeline timeline = boot.timeline();
    CHECK(row(timeline, "apt").stretches.size() == 2);
    CHECK_THAT(row(timeline, "apt").took(), WithinAbs(7, 1e-9));
    CHECK(row(timeline, "user").stretches.size() == 1); // looked at once more: no news
    CHECK(row(timeline, "user").state == "applied");
    CHECK(row(timeline, "python").after == "apt");
    CHECK(timeline.jupyter == 73.0);
}

TEST_CASE("timeline: what comes after the machine was ready is counted, not drawn",
          "[unit][report]") {
    Boot boot = a_good_boot();
    boot.machine(86'400, "provisioning").run(86'400).takes(86'400, 86'460, "apt");
    boot.machine(86'460, "ready");
    const Timeline timeline = boot.timeline(90'000.0);
    CHECK(timeline.later_runs == 1);
    CHECK_THAT(timeline.end, WithinAbs(13, 1e-9));
    CHECK_FALSE(timeline.going_on);
}

TEST_CASE("timeline: a daemon that died leaves what it was at as interrupted", "[unit][report]") {
    Boot boot;
    boot.run(3).step(3, "apt", "running", "working");
    SECTION("another one began") {
        boot.events.push_back({.kind = Kind::boot, .at = 30, .boot_id = "b1"});
        const Timeline timeline = boot.timeline(40.0);
        CHECK(row(timeline, "apt").state == "interrupted");
        CHECK_THAT(row(timeline, "apt").end(), WithinAbs(30, 1e-9));
        CHECK_FALSE(timeline.going_on);
    }
    SECTION("the boot ended") {
        boot.takes(3, 8, "user");
        const Timeline timeline = boot.timeline();
        CHECK(row(timeline, "apt").state == "interrupted");
        CHECK_THAT(row(timeline, "apt").end(), WithinAbs(8, 1e-9));
    }
    SECTION("it was asked to stop") {
        boot.machine(20, "stopping");
        const Timeline timeline = boot.timeline(40.0);
        CHECK_THAT(row(timeline, "apt").end(), WithinAbs(20, 1e-9));
    }
}

TEST_CASE("timeline: whatever stands in the events, a timeline is made or none", "[unit][report]") {
    CHECK_FALSE(make_timeline({}));
    Boot boot;
    CHECK_FALSE(make_timeline(boot.events));
    // A circle, an unknown need, times that go back.
    boot.events.push_back({.kind = Kind::run, .at = 3, .steps = {{"a", {"b"}}, {"b", {"a", "c"}}}});
    boot.takes(9, 9, "a").takes(9, 9, "b").step(4, "b", "failed").step(2, "a", "running");
    const Timeline timeline = boot.timeline();
    for (const auto& one : timeline.rows)
        for (const auto& stretch : one.stretches)
            CHECK(stretch.to >= stretch.from);
}

TEST_CASE("timeline events: a line is read as it was written", "[unit][report]") {
    for (const auto& event : a_good_boot().events)
        CHECK(timeline_event(to_line(event)) == event);
    const TimelineEvent foreign{.at = 1, .state = "failed", .step = "a", .why = "x\n\033[2J\"}"};
    const std::string line = to_line(foreign);
    CHECK(line.find('\n') == std::string::npos);
    CHECK(timeline_event(line)->why == "x ?[2J\"}");
    const TimelineEvent endless{
        .at = 1, .state = "failed", .step = "a", .why = std::string(90'000, 'x')};
    CHECK(to_line(endless).size() < 1000);
}

TEST_CASE("timeline events: what is no event of ours is passed over", "[unit][report]") {
    CHECK(timeline_events(
              "{}\nnonsense\n[1]\n{\"at\":-1,\"step\":\"a\"}\n{\"at\":\"1\",\"step\":\"a\"}\n"
              "{\"at\":1,\"other\":2}\n{\"at\":1,\"run\":7}\n{\"at\":1,\"step\":\"a\"")
              .empty());
    const auto kept =
        timeline_events("{\"at\":1,\"run\":[{\"id\":\"a\",\"needs\":[\"b\",3]},{},7]}\n");
    REQUIRE(kept.size() == 1);
    CHECK(kept.front().steps == std::vector<TimelineEvent::StepNeeds>{{"a", {"b"}}});
}

TEST_CASE("timeline file: appended to, for anybody, and no larger than it may be",
          "[unit][report]") {
    const TempRoot directory{TempRoot::in_memory()};
    const Root root = directory.root();
    CHECK(read_timeline(root).value().empty());
    const TimelineFile file{root};
    file.append("lost: there is no directory yet");
    std::filesystem::create_directories(directory.path() / "run/agent");
    file.append(to_line({.kind = Kind::machine, .at = 1, .state = "starting"}));
    TimelineFile{root}.append(to_line({.kind = Kind::machine, .at = 2, .state = "ready"}));
    REQUIRE(read_timeline(root).value().size() == 2);
    CHECK(read_timeline(root).value().back().state == "ready");
    struct stat status{};
    REQUIRE(::stat((root / layout::timeline_file).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0644U);
    for (int i = 0; i < 30; ++i)
        file.append(std::string(50'000, 'x'));
    REQUIRE(::stat((root / layout::timeline_file).c_str(), &status) == 0);
    CHECK(static_cast<std::size_t>(status.st_size) <= TimelineFile::largest);
    CHECK(read_timeline(root).value().size() == 2);
}

TEST_CASE("timeline news: another state or hold-up, not each phrase", "[unit][report]") {
    TimelineNews news;
    TimelineEvent event{.at = 1, .state = "running", .step = "apt", .doing = "working"};
    CHECK(news.is_news(event));
    event.why = "unpacking";
    CHECK_FALSE(news.is_news(event));
    event.doing = "held_up";
    CHECK(news.is_news(event));
    CHECK_FALSE(news.is_news(event));
    event.why = "another lock";
    CHECK(news.is_news(event));
    event.step = "python";
    CHECK(news.is_news(event));
}
