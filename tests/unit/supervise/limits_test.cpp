#include "agent/supervise/limits.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace agent;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Fate = PlannedStop::Fate;
using Time = LimitPolicy::Time;

namespace {

constexpr WallTime noon{std::chrono::seconds{1'714'564'800}}; // 2024-05-01T12:00:00Z

constexpr LimitRules stopping{.stops_on_failure = true};
constexpr LimitRules living{.lifetime = std::chrono::hours{12}};

// A machine whose policy is asked whenever it wants to be; nothing waits.
class Life {
public:
    explicit Life(LimitRules rules) { seen.rules = rules; }

    // As far as `until`, or to the end of the machine.
    void live(Time until) {
        while (!off) {
            const auto next = policy.next_look();
            if (!next || *next > until) {
                pass(until - seen.now);
                return;
            }
            pass(std::max(Time{0}, *next - seen.now));
            look();
        }
    }
    void look() {
        const LimitAction action = policy.observe(seen);
        if (action == LimitAction::warn)
            warned.push_back(seen.now);
        if (action == LimitAction::power_off)
            off = seen.now;
        ++looks;
    }
    void pass(Time time) {
        seen.now += time;
        seen.wall += time;
        if (seen.held_until && seen.now >= *seen.held_until)
            seen.held_until.reset();
    }

    LimitsSeen seen{.now = 1000s, .wall = noon};
    LimitPolicy policy;
    std::vector<Time> warned;
    std::optional<Time> off;
    unsigned looks = 0;
};

Life failed(LimitRules rules = stopping) {
    Life life{rules};
    life.seen.failed_since = life.seen.now;
    life.look();
    return life;
}

} // namespace

TEST_CASE("limits: a machine without limits is never looked at again", "[unit][supervise]") {
    Life life = failed(LimitRules{});
    CHECK_FALSE(life.policy.planned().has_value());
    CHECK_FALSE(life.policy.next_look().has_value());
    Life works{stopping};
    works.look();
    CHECK_FALSE(works.policy.planned().has_value());
    CHECK_FALSE(works.policy.next_look().has_value());
}

TEST_CASE("limits: a failed machine says at once when it stops, again in its last minute, and "
          "powers off",
          "[unit][supervise]") {
    Life life = failed();
    REQUIRE(life.policy.planned().has_value());
    CHECK(*life.policy.planned() ==
          PlannedStop{StopCause::failure, Fate::powers_off, noon + 10min, {}});
    CHECK(life.policy.is_near());
    life.live(24h);
    CHECK(life.off == Time{1000s + 10min});
    CHECK(life.warned == std::vector<Time>{1000s, 1000s + 9min});
    CHECK(life.looks < 50);
}

TEST_CASE("limits: a long grace is told at once, ten minutes and a minute before its end",
          "[unit][supervise]") {
    Life life = failed({.stops_on_failure = true, .grace = 2h});
    life.live(24h);
    CHECK(life.off == Time{1000s + 2h});
    CHECK(life.warned == std::vector<Time>{1000s, 1000s + 2h - 10min, 1000s + 2h - 1min});
}

TEST_CASE("limits: what is typed puts the stop off, but the hour that was told holds until it is "
          "near",
          "[unit][supervise]") {
    Life life = failed();
    life.live(1000s + 5min);
    life.seen.typed = life.seen.now;
    life.live(1000s + 8min);
    CHECK(life.policy.planned()->shown == noon + 10min);
    life.live(1000s + 10min);
    CHECK(life.policy.planned()->shown == noon + 15min);
    CHECK(life.warned.size() == 1);
    life.live(24h);
    CHECK(life.off == Time{1000s + 15min});
    CHECK(life.warned == std::vector<Time>{1000s, 1000s + 14min});
}

TEST_CASE("limits: somebody who types for hours keeps a failed machine up for hours",
          "[unit][supervise]") {
    Life life = failed();
    for (Time now = 1000s; now < 5h; now += 7min) {
        life.live(now);
        life.seen.typed = now;
    }
    const Time last = *life.seen.typed;
    CHECK_FALSE(life.off.has_value());
    life.live(24h);
    CHECK(life.off == last + 10min);
}

TEST_CASE("limits: with the shortest grace every key counts at once", "[unit][supervise]") {
    Life life = failed({.stops_on_failure = true, .grace = 1min});
    life.live(1000s + 50s);
    life.seen.typed = life.seen.now;
    life.live(24h);
    CHECK(life.off == Time{1000s + 110s});
}

TEST_CASE("limits: a machine that is being set up again does not stop", "[unit][supervise]") {
    Life life = failed();
    life.live(1000s + 9min + 30s);
    life.seen.failed_since.reset();
    life.look();
    CHECK_FALSE(life.policy.planned().has_value());
    life.live(2h);
    CHECK_FALSE(life.off.has_value());
    life.seen.failed_since = life.seen.now;
    life.look();
    life.live(24h);
    CHECK(life.off == Time{2h + 10min});
}

TEST_CASE("limits: a hold keeps a machine up to its end, and people hear of the end",
          "[unit][supervise]") {
    Life life = failed();
    life.live(1000s + 5min);
    life.seen.held_until = life.seen.now + 2h;
    life.look();
    CHECK(life.policy.planned()->fate == Fate::held);
    CHECK(life.policy.planned()->shown == noon + 5min + 2h);
    life.live(24h);
    const Time end = 1000s + 5min + 2h;
    CHECK(life.off == end);
    CHECK(life.warned == std::vector<Time>{1000s, end - 10min, end - 1min});
}

TEST_CASE("limits: a hold that ends before the stop changes nothing", "[unit][supervise]") {
    Life life = failed();
    life.seen.held_until = life.seen.now + 5min;
    life.look();
    CHECK(life.policy.planned()->fate == Fate::powers_off);
    life.live(24h);
    CHECK(life.off == Time{1000s + 10min});
}

TEST_CASE("limits: when a hold is released too late, a minute is left", "[unit][supervise]") {
    Life life = failed();
    life.seen.held_until = life.seen.now + 5h;
    life.live(1000s + 1h);
    life.seen.held_until.reset();
    life.look();
    CHECK(life.policy.planned()->shown == noon + 1h + 1min);
    life.live(24h);
    CHECK(life.off == Time{1000s + 1h + 1min});
    CHECK(life.warned.back() == Time{1000s + 1h});
}

TEST_CASE("limits: a lifetime ends whatever the machine does, warned of beforehand",
          "[unit][supervise]") {
    Life life{living};
    life.seen.booted = 1000s;
    life.look();
    REQUIRE(life.policy.planned().has_value());
    CHECK(*life.policy.planned() ==
          PlannedStop{StopCause::lifetime, Fate::powers_off, noon + 12h, {}});
    CHECK_FALSE(life.policy.is_near());
    life.live(1000s + 12h - 31min);
    CHECK_FALSE(life.policy.is_near());
    life.live(1000s + 12h - 30min);
    CHECK(life.policy.is_near());
    life.seen.typed = life.seen.now;
    life.live(24h);
    CHECK(life.off == Time{1000s + 12h});
    CHECK(life.warned == std::vector<Time>{1000s + 12h - 10min, 1000s + 12h - 1min});
}

TEST_CASE("limits: a hold outlasts a lifetime", "[unit][supervise]") {
    Life life{living};
    life.seen.held_until = 13h;
    life.look();
    life.live(24h);
    CHECK(life.off == Time{13h});
    CHECK(life.warned == std::vector<Time>{13h - 10min, 13h - 1min});
}

TEST_CASE("limits: a lifetime that is over when it is first heard of leaves a minute",
          "[unit][supervise]") {
    Life life{{.lifetime = 10min}};
    life.look();
    CHECK(life.warned == std::vector<Time>{1000s});
    life.live(24h);
    CHECK(life.off == Time{1000s + 1min});
}

TEST_CASE("limits: of two ends the first one counts", "[unit][supervise]") {
    Life life = failed({.stops_on_failure = true, .lifetime = 1000s + 5min});
    CHECK(life.policy.planned()->cause == StopCause::lifetime);
    life.live(24h);
    CHECK(life.off == Time{1000s + 5min});
}

TEST_CASE("limits: systemd that could not be asked is asked again", "[unit][supervise]") {
    Life life = failed();
    life.live(24h);
    REQUIRE(life.off.has_value());
    CHECK(life.policy.planned()->fate == Fate::powered_off);
    const Time first = *std::exchange(life.off, std::nullopt);
    life.live(24h);
    CHECK(life.off == first + 1min);
}

TEST_CASE("limits: what an instance group would replace never powers off, and says so",
          "[unit][supervise]") {
    Life life{{.stops_on_failure = true, .lifetime = 2h}};
    life.seen.group = "workers";
    life.look();
    CHECK_FALSE(life.policy.planned().has_value());
    CHECK(life.policy.next_look().has_value());
    SECTION("when it has failed, at once") {
        life.seen.failed_since = life.seen.now;
        life.look();
        REQUIRE(life.policy.planned().has_value());
        CHECK(life.policy.planned()->fate == Fate::stays);
        CHECK(life.policy.planned()->group == "workers");
        CHECK(life.policy.is_near());
    }
    SECTION("when its lifetime is over") {
        life.live(2h - 1s);
        CHECK_FALSE(life.policy.planned().has_value());
        life.live(2h + 1min);
        REQUIRE(life.policy.planned().has_value());
        CHECK(life.policy.planned()->fate == Fate::stays);
        CHECK(life.policy.is_near());
    }
    life.live(240h);
    CHECK_FALSE(life.off.has_value());
    CHECK(life.warned.empty());
}

TEST_CASE("limits: a wall clock that jumps changes what is shown, and nothing else",
          "[unit][supervise]") {
    constexpr auto year = std::chrono::hours{24 * 365};
    for (const auto jump : {year, -year}) {
        Life life = failed();
        life.live(1000s + 3min);
        life.seen.wall += jump;
        life.look();
        CHECK(life.policy.planned()->shown == noon + jump + 10min);
        CHECK(life.warned.size() == 1);
        life.live(24h);
        CHECK(life.off == Time{1000s + 10min});
    }
}

TEST_CASE("limits: the hour that is shown does not flicker", "[unit][supervise]") {
    Life life = failed();
    for (int i = 0; i < 20; ++i) {
        life.seen.wall += i % 2 == 0 ? 3s : -3s;
        life.look();
        CHECK(life.policy.planned()->shown == noon + 10min);
    }
}

TEST_CASE("limits: whatever people do, nobody is surprised and nothing stays up for ever",
          "[unit][supervise]") {
    std::mt19937 random{20240501}; // NOLINT(cert-msc32-c,cert-msc51-cpp): repeatable
    const auto chance = [&](unsigned of) { return random() % of == 0; };
    const auto some_minutes = [&](unsigned most) {
        return Time{std::chrono::minutes{random() % most}};
    };
    unsigned stopped = 0;
    for (int round = 0; round < 3000; ++round) {
        LimitRules rules;
        rules.stops_on_failure = !chance(4);
        rules.grace = std::chrono::minutes{1 + random() % 40};
        if (chance(2))
            rules.lifetime = std::chrono::minutes{1 + random() % 300};
        Life life{rules};
        life.seen.now = some_minutes(100);
        life.seen.booted = chance(2) ? Time{0} : life.seen.now;
        if (chance(8))
            life.seen.group = "workers";
        const bool fails = chance(2);
        // What people do comes to an end; the policy is asked whenever something changes.
        for (int event = 0; event < 12 && !life.off; ++event) {
            switch (random() % 5) {
            case 0:
                if (fails && !life.seen.failed_since)
                    life.seen.failed_since = life.seen.now;
                break;
            case 1:
                life.seen.held_until = life.seen.now + Time{1min} + some_minutes(90);
                break;
            case 2:
                life.seen.held_until.reset();
                break;
            case 3:
                life.seen.typed = life.seen.now;
                break;
            default:
                if (chance(4))
                    life.seen.failed_since.reset();
            }
            life.look();
            life.live(life.seen.now + some_minutes(25));
        }
        const Time alone = life.seen.now;
        life.live(alone + 24h);

        const bool would_stop = life.seen.rules.lifetime.has_value() ||
                                (rules.stops_on_failure && life.seen.failed_since);
        CAPTURE(round, rules.stops_on_failure, rules.grace, alone);
        REQUIRE(life.off.has_value() == (would_stop && life.seen.group.empty()));
        if (!life.off)
            continue;
        ++stopped;
        CHECK(*life.off <= alone + 10h);
        CHECK_FALSE(life.seen.held_until.has_value());
        REQUIRE_FALSE(life.warned.empty());
        CHECK(*life.off - life.warned.back() >= 1min);
        const bool outlived = rules.lifetime && *life.off >= life.seen.booted + *rules.lifetime;
        const bool given_up =
            life.seen.failed_since && *life.off >= *life.seen.failed_since + rules.grace;
        CHECK((outlived || given_up));
        if (!outlived && life.seen.typed)
            CHECK(*life.off >= *life.seen.typed + rules.grace);
    }
    CHECK(stopped > 1000);
}

TEST_CASE("limits: the words say when, and what to do", "[unit][supervise]") {
    PlannedStop stop{StopCause::failure, Fate::powers_off, noon + 10min, {}};
    CHECK(in_brief(stop, noon) == "powers off at 12:10 UTC unless held");
    CHECK(with_remedy(stop, noon) == "it powers off at 12:10 UTC unless held: `agent hold 2h`");
    CHECK(warning_of(stop, stopping, "its setup has failed: python: no\nsuch package", noon) ==
          "This machine powers off at 12:10 UTC unless held: its setup has failed: python: no "
          "such package.\nWhat is typed at a terminal puts that off by 10 min; `agent hold 2h` "
          "keeps it up.\n");
    stop.fate = Fate::held;
    CHECK(in_brief(stop, noon) == "powers off at 12:10 UTC unless held longer");
    CHECK(in_brief(stop, noon - 24h) == "powers off at 2024-05-01 12:10 UTC unless held longer");
    stop.fate = Fate::powered_off;
    CHECK(in_brief(stop, noon) == "powers off now, for its setup has failed");
    stop.cause = StopCause::lifetime;
    CHECK(with_remedy(stop, noon) == "it powers off now, for its lifetime is over");
    CHECK_THAT(warning_of(stop, living, "its lifetime ends", noon),
               ContainsSubstring("Save your work; `agent hold 2h` keeps it up."));
    stop = {StopCause::lifetime, Fate::stays, noon, "workers"};
    CHECK(in_brief(stop, noon) == "stays up, for instance group workers would replace it");
    CHECK(with_remedy(stop, noon) ==
          "it does not power off although its lifetime is over: instance group workers would "
          "replace it; resize or delete the group");
}

TEST_CASE("limits: what is written of a stop is the stop that is read", "[unit][supervise]") {
    for (const auto cause : {StopCause::failure, StopCause::lifetime})
        for (const auto fate : {Fate::powers_off, Fate::held, Fate::stays, Fate::powered_off}) {
            const PlannedStop stop{cause, fate, noon, fate == Fate::stays ? "workers" : ""};
            CHECK(planned_stop_from(to_value(stop)).value() == stop);
        }
    CHECK_FALSE(planned_stop_from({}).has_value());
    CHECK_FALSE(planned_stop_from(Value::Object{{"cause", "whim", {}}}).has_value());
}

TEST_CASE("limits: created-by names a managed instance group, or something else",
          "[unit][supervise]") {
    CHECK(managed_group("projects/12/zones/us-central1-a/instanceGroupManagers/workers") ==
          "workers");
    CHECK(managed_group("projects/12/regions/us-central1/instanceGroupManagers/w-2") == "w-2");
    CHECK_FALSE(managed_group("projects/12/zones/z/instanceGroupManagers/").empty());
    CHECK(managed_group("projects/12/zones/z/instances/vm-1").empty());
    CHECK(managed_group("").empty());
}
