#include "agent/base/stop.hpp"
#include "agent/graph/engine.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_commands.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <deque>
#include <fstream>
#include <iterator>
#include <list>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include <sys/stat.h>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

// What a step finds and does, as the test scripts it; of several answers the last one stays.
struct Script {
    StepTraits traits;
    std::string fingerprint = "inputs";
    std::deque<Result<StepCheck>> checks{StepCheck::yes()};
    std::deque<Result<void>> applies{Result<void>{}};
    std::chrono::milliseconds check_takes{0};
    std::chrono::milliseconds apply_takes{0};
    std::function<void(StepContext&)> in_check;
    std::function<void(StepContext&)> in_apply;
    std::optional<Command> command; // of apply
    unsigned checked = 0;
    unsigned applied = 0;

    // Due at first, so once apply has run.
    Script& due(std::string why = "not there") {
        checks = {StepCheck::due(std::move(why)), StepCheck::yes()};
        return *this;
    }
    // Every apply fails until these are used up.
    Script& fails(std::vector<Error> errors) {
        checks = {StepCheck::due("not there")};
        applies.assign(errors.begin(), errors.end());
        return *this;
    }
};

template <class T> Result<T> next_of(std::deque<Result<T>>& answers) {
    auto answer = answers.front();
    if (answers.size() > 1)
        answers.pop_front();
    return answer;
}

class Scripted : public Guarantee {
public:
    Scripted(Script& script, Clock& clock, std::vector<std::string>& log)
        : script_{script}, clock_{clock}, log_{log} {}

    [[nodiscard]] std::string fingerprint() const override { return script_.fingerprint; }

    boost::asio::awaitable<Result<StepCheck>> check(StepContext& context) override {
        ++script_.checked;
        log_.push_back("check " + script_.traits.id);
        if (script_.in_check)
            script_.in_check(context);
        if (script_.check_takes > 0ms)
            co_await clock_.sleep(script_.check_takes);
        co_return next_of(script_.checks);
    }

    boost::asio::awaitable<Result<void>> apply(StepContext& context) override {
        ++script_.applied;
        log_.push_back("apply " + script_.traits.id);
        if (script_.in_apply)
            script_.in_apply(context);
        if (script_.apply_takes > 0ms)
            co_await clock_.sleep(script_.apply_takes);
        if (script_.command) {
            Command command = *script_.command;
            auto outcome = co_await context.run(std::move(command));
            if (!outcome)
                co_return outcome.error();
        }
        log_.push_back("applied " + script_.traits.id);
        co_return next_of(script_.applies);
    }

private:
    Script& script_;
    Clock& clock_;
    std::vector<std::string>& log_;
};

// A machine with a table of scripted steps; converge() may be called again and again, as at boots.
class Machine {
public:
    explicit Machine(FakeClock::Advance advance = FakeClock::Advance::by_sleeping)
        : clock{advance, stop.get_token()} {}

    Script& step(std::string id, std::vector<std::string> needs = {}) {
        auto& script = scripts.emplace_back();
        script.traits.id = std::move(id);
        script.traits.needs = std::move(needs);
        return script;
    }
    Script& script(const std::string& id) {
        return *std::find_if(
            scripts.begin(), scripts.end(), [&](const Script& one) { return one.traits.id == id; });
    }

    // As `agent plan` does.
    Result<std::vector<Outlook>> look() {
        auto ledger = Ledger::look(root()).value();
        std::vector<Step> steps;
        for (auto& script : scripts)
            steps.push_back({script.traits, std::make_unique<Scripted>(script, clock, log)});
        Engine engine{{io,
                       commands,
                       clock,
                       ledger,
                       instance_id,
                       [](const StepProgress&) {},
                       [](std::string_view, std::string_view) {}},
                      std::move(steps)};
        return run_coroutine(io, engine.look());
    }
    Result<std::vector<StepProgress>> converge() {
        auto ledger = Ledger::open(root()).value();
        std::vector<Step> steps;
        for (auto& script : scripts)
            steps.push_back({script.traits, std::make_unique<Scripted>(script, clock, log)});
        Engine engine{{io,
                       commands,
                       clock,
                       ledger,
                       instance_id,
                       [](const StepProgress&) {},
                       [this](std::string_view id, std::string_view line) {
                           lines[std::string{id}].emplace_back(line);
                       },
                       asked_for,
                       superseded,
                       limits},
                      std::move(steps)};
        live_ = &engine.progress();
        const Keeper keeper{*this};
        return run_coroutine(io, engine.converge());
    }
    // Where a step stands, during a converge and after it.
    const StepProgress& end_of(const std::string& id) const {
        const auto& all = live_ ? *live_ : seen;
        return *std::find_if(
            all.begin(), all.end(), [&](const StepProgress& one) { return one.id == id; });
    }

    [[nodiscard]] Root root() const { return root_.root(); }
    [[nodiscard]] std::string ledger_file(const std::string& id) const {
        std::ifstream file{root() / ("/var/lib/agent/ledger/" + id + ".json")};
        return {std::istreambuf_iterator<char>{file}, {}};
    }
    [[nodiscard]] LedgerEntry recorded(const std::string& id) const {
        const auto ledger = Ledger::open(root()).value();
        return ledger.find(id) ? *ledger.find(id) : LedgerEntry{};
    }
    // Of everything in the ledger: a file written, renamed or removed shows.
    [[nodiscard]] auto ledger_on_disk() const {
        std::set<std::tuple<std::string, ino_t, std::int64_t, std::int64_t>> files;
        const auto directory = root() / "/var/lib/agent/ledger";
        const auto add = [&](const fs::path& path) {
            struct stat status{};
            REQUIRE(::lstat(path.c_str(), &status) == 0);
            files.emplace(
                path.string(), status.st_ino, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
        };
        add(directory);
        for (const auto& entry : fs::directory_iterator{directory})
            add(entry.path());
        return files;
    }

    boost::asio::io_context io;
    std::stop_source stop;
    FakeClock clock;
    FakeCommands commands;
    std::string instance_id = "42";
    std::function<bool(std::string_view)> asked_for;
    std::function<bool()> superseded;
    RunLimits limits;
    std::list<Script> scripts;
    std::vector<std::string> log;
    std::map<std::string, std::vector<std::string>> lines;
    std::vector<StepProgress> seen;

private:
    // Copies what the engine last showed before the engine goes.
    struct Keeper {
        explicit Keeper(Machine& kept) : machine{kept} {}
        Keeper(const Keeper&) = delete;
        Keeper& operator=(const Keeper&) = delete;
        ~Keeper() {
            machine.seen = machine.live_ ? *machine.live_ : std::vector<StepProgress>{};
            machine.live_ = nullptr;
        }
        Machine& machine;
    };

    TempRoot root_{TempRoot::in_memory()};
    const std::vector<StepProgress>* live_ = nullptr;
};

std::vector<std::string> only(const std::vector<std::string>& log, const std::string& verb) {
    std::vector<std::string> kept;
    std::copy_if(log.begin(), log.end(), std::back_inserter(kept), [&](const std::string& line) {
        return line.starts_with(verb + " ");
    });
    return kept;
}

} // namespace

TEST_CASE("engine: a state that holds is not made again, and the second run writes nothing",
          "[unit][graph]") {
    Machine machine;
    machine.step("a");
    machine.step("b", {"a"}).due();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("a").state == StepState::satisfied);
    CHECK(machine.end_of("a").attempts == 0);
    CHECK(machine.end_of("b").state == StepState::applied);
    CHECK(only(machine.log, "apply") == std::vector<std::string>{"apply b"});

    const auto before = machine.ledger_on_disk();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("a").state == StepState::satisfied);
    CHECK(machine.end_of("b").state == StepState::satisfied);
    CHECK(only(machine.log, "apply").size() == 1);
    CHECK(machine.ledger_on_disk() == before);
}

TEST_CASE("engine: a step is told that a person asked for it", "[unit][graph]") {
    Machine machine;
    std::map<std::string, bool> told;
    for (const std::string id : {"a", "b"})
        machine.step(id).in_check = [&told, id](StepContext& context) {
            told[id] = context.asked_for();
        };
    REQUIRE(machine.converge().has_value());
    CHECK(told == std::map<std::string, bool>{{"a", false}, {"b", false}});
    machine.asked_for = [](std::string_view id) { return id == "b"; };
    REQUIRE(machine.converge().has_value());
    CHECK(told == std::map<std::string, bool>{{"a", false}, {"b", true}});
}

TEST_CASE("engine: steps that do not need each other run at the same time", "[unit][graph]") {
    Machine machine;
    machine.step("a").due().apply_takes = 10s;
    machine.step("b").due().apply_takes = 10s;
    machine.step("c", {"a", "b"}).due();
    const auto begin = machine.clock.now();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.clock.now() - begin == 10s);
    const std::vector<std::string> expected{"check a",
                                            "apply a",
                                            "check b",
                                            "apply b",
                                            "applied a",
                                            "check a",
                                            "applied b",
                                            "check b",
                                            "check c",
                                            "apply c",
                                            "applied c",
                                            "check c"};
    CHECK(machine.log == expected);
    CHECK(machine.end_of("b").took == 10s);
}

TEST_CASE("engine: a failed step blocks only what needs it", "[unit][graph]") {
    Machine machine;
    machine.step("a").fails({misconfigured("no such thing", "name another")});
    machine.step("b", {"a"});
    machine.step("c", {"b"});
    machine.step("d").due();
    REQUIRE(machine.converge().has_value());
    const auto a = machine.end_of("a");
    CHECK(a.state == StepState::failed);
    REQUIRE(a.error.has_value());
    CHECK(a.error->message == "no such thing");
    CHECK(a.error->kind == ErrorKind::misconfigured);
    CHECK(machine.end_of("b").state == StepState::blocked);
    CHECK(machine.end_of("b").reason == "needs a, which failed");
    CHECK(machine.end_of("c").reason == "needs b, which is blocked");
    CHECK(machine.end_of("d").state == StepState::applied);
    CHECK(machine.script("b").checked == 0);
    CHECK(machine.recorded("a").outcome == "failed");
    CHECK(machine.recorded("a").error == "no such thing");
    CHECK(machine.recorded("b") == LedgerEntry{});
}

TEST_CASE("engine: what is transient is tried again, later and later, until its attempts end",
          "[unit][graph]") {
    Machine machine;
    machine.clock.chance = 0.5;
    auto& step = machine.step("a").fails({transient("no network")});
    step.traits.attempts = 4;
    REQUIRE(machine.converge().has_value());
    CHECK(step.applied == 4);
    CHECK(machine.clock.slept == std::vector<std::chrono::milliseconds>{550ms, 1100ms, 2200ms});
    CHECK(machine.end_of("a").state == StepState::failed);
    CHECK(machine.end_of("a").attempts == 4);
    CHECK(machine.end_of("a").error->message == "no network");
    CHECK(machine.recorded("a").attempts == 4);
}

TEST_CASE("engine: a transient failure that passes is no failure", "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a");
    step.checks = {StepCheck::due("not there"), StepCheck::yes("all of it")};
    step.applies = {transient("once"), transient("twice"), Result<void>{}};
    REQUIRE(machine.converge().has_value());
    CHECK(step.applied == 3);
    CHECK(machine.end_of("a").state == StepState::applied);
    CHECK(machine.end_of("a").reason == "all of it");
    CHECK_FALSE(machine.end_of("a").error.has_value());
    CHECK(machine.recorded("a").attempts == 0);
    CHECK(machine.recorded("a").outcome == "done");
}

TEST_CASE("engine: what trying again will not help is not tried again", "[unit][graph]") {
    Machine machine;
    const auto error = GENERATE(permanent("never"), misconfigured("not like this"));
    auto& step = machine.step("a").fails({error});
    REQUIRE(machine.converge().has_value());
    CHECK(step.applied == 1);
    CHECK(machine.clock.slept.empty());
}

TEST_CASE("engine: attempts add up over runs until a success", "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a").fails({permanent("no")});
    REQUIRE(machine.converge().has_value());
    REQUIRE(machine.converge().has_value());
    CHECK(machine.recorded("a").attempts == 2);
    CHECK(machine.end_of("a").attempts == 2);
    step.applies = {Result<void>{}};
    step.due();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.recorded("a").attempts == 0);
}

TEST_CASE("engine: no attempt begins that could not end in time", "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a").fails({transient("no network")});
    step.traits.attempts = 1000;
    step.traits.deadline = 10s;
    step.apply_takes = 3s;
    const auto begin = machine.clock.now();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("a").error->message == "no network");
    CHECK(step.applied == 3);
    CHECK(machine.clock.now() - begin <= 11s);
}

TEST_CASE("engine: a command gets no more time than its step has left", "[unit][graph]") {
    Machine machine;
    machine.commands.when({"program"}).exits(0, "one\ntwo\n");
    auto& step = machine.step("a").due();
    step.traits.deadline = 60s;
    step.apply_takes = 20s;
    Command command;
    command.argv = {"/usr/bin/program"};
    SECTION("a longer deadline is cut") {
        command.deadline = 1h;
        step.command = command;
        REQUIRE(machine.converge().has_value());
        CHECK(machine.commands.ran.front().deadline == 40s);
    }
    SECTION("a shorter one stays") {
        command.deadline = 5s;
        step.command = command;
        REQUIRE(machine.converge().has_value());
        CHECK(machine.commands.ran.front().deadline == 5s);
    }
    SECTION("with none left it is not started") {
        step.apply_takes = 60s;
        step.command = command;
        REQUIRE(machine.converge().has_value());
        CHECK(machine.commands.ran.empty());
        CHECK(machine.end_of("a").state == StepState::failed);
        CHECK_THAT(machine.end_of("a").error->message, ContainsSubstring("limit of 60 s"));
    }
}

TEST_CASE("engine: a command's lines go to its step's log, unless it wants them itself",
          "[unit][graph]") {
    Machine machine;
    machine.commands.when({"program"}).exits(0, "one\ntwo\n", "three\n");
    Command command;
    command.argv = {"/usr/bin/program"};
    std::vector<std::string> own;
    SECTION("the log") {
        machine.step("a").due().command = command;
        REQUIRE(machine.converge().has_value());
        for (const std::string line : {"one", "two", "three"})
            CHECK(std::count(machine.lines["a"].begin(), machine.lines["a"].end(), line) == 1);
    }
    SECTION("itself") {
        command.on_line = [&](std::string_view line) { own.emplace_back(line); };
        machine.step("a").due().command = command;
        REQUIRE(machine.converge().has_value());
        CHECK(own == std::vector<std::string>{"one", "two", "three"});
        CHECK(std::count(machine.lines["a"].begin(), machine.lines["a"].end(), "one") == 0);
    }
}

TEST_CASE("engine: the attempt is on the disk before anything is changed", "[unit][graph]") {
    Machine machine;
    std::vector<std::string> during;
    auto& step = machine.step("a").fails({transient("once"), transient("twice")});
    step.traits.attempts = 2;
    step.in_check = [&](StepContext&) { during.push_back("check: " + machine.ledger_file("a")); };
    step.in_apply = [&](StepContext&) { during.push_back("apply: " + machine.ledger_file("a")); };
    REQUIRE(machine.converge().has_value());
    REQUIRE(during.size() == 3);
    CHECK(during[0] == "check: ");
    CHECK_THAT(during[1], ContainsSubstring(R"("attempts":1,"outcome":"started")"));
    CHECK_THAT(during[2], ContainsSubstring(R"("attempts":2,"outcome":"started")"));
}

TEST_CASE("engine: an attempt that cannot be recorded is not made", "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a").due();
    step.in_check = [&](StepContext&) { fs::remove_all(machine.root() / "/var/lib/agent/ledger"); };
    REQUIRE(machine.converge().has_value());
    CHECK(step.applied == 0);
    CHECK(machine.end_of("a").state == StepState::failed);
    CHECK_THAT(machine.end_of("a").error->message, ContainsSubstring("recording a in the ledger"));
}

TEST_CASE("engine: done is what is seen afterwards, not what was said", "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a");
    step.checks = {StepCheck::due("no file"), StepCheck::due("still no file")};
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("a").state == StepState::failed);
    CHECK(machine.end_of("a").error->message == "done, and yet not so: still no file");
    CHECK(step.applied == 1);

    step.checks = {StepCheck::due("no file"), permanent("the disk is gone")};
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("a").error->message == "verifying: the disk is gone");
}

TEST_CASE("engine: a check that cannot look is a failure, and nothing is changed",
          "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a");
    step.checks = {permanent("cannot look")};
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("a").error->message == "cannot look");
    CHECK(step.applied == 0);
}

TEST_CASE("engine: another instance makes anew what is of the instance, and only that",
          "[unit][graph]") {
    Machine machine;
    for (const auto& [id, scope] : {std::pair{"key", Scope::instance},
                                    std::pair{"packages", Scope::image},
                                    std::pair{"unit", Scope::boot}})
        machine.step(id).traits.scope = scope;
    machine.instance_id = "1";
    REQUIRE(machine.converge().has_value());
    CHECK(only(machine.log, "apply").empty());

    bool told = false;
    machine.script("key").in_apply = [&](StepContext& context) {
        told = context.on_new_instance();
    };
    machine.instance_id = "2";
    REQUIRE(machine.converge().has_value());
    CHECK(only(machine.log, "apply") == std::vector<std::string>{"apply key"});
    CHECK(told);
    CHECK(machine.recorded("key").instance_id == "2");
    CHECK(machine.recorded("packages").instance_id == "2");

    REQUIRE(machine.converge().has_value());
    CHECK(only(machine.log, "apply").size() == 1);
}

TEST_CASE("engine: an instance whose id is not known is never another one", "[unit][graph]") {
    Machine machine;
    machine.step("key").traits.scope = Scope::instance;
    bool told = false;
    machine.script("key").in_check = [&](StepContext& context) {
        told = told || context.on_new_instance();
    };
    machine.instance_id = "1";
    REQUIRE(machine.converge().has_value());
    machine.instance_id = "";
    REQUIRE(machine.converge().has_value());
    CHECK(machine.recorded("key").instance_id == "1");
    machine.instance_id = "1";
    REQUIRE(machine.converge().has_value());
    CHECK(machine.log == std::vector<std::string>{"check key", "check key", "check key"});
    CHECK_FALSE(told);
}

TEST_CASE("engine: a step that another instance left unfinished is still to be made anew",
          "[unit][graph]") {
    Machine machine;
    auto& key = machine.step("key");
    key.traits.scope = Scope::instance;
    machine.instance_id = "1";
    REQUIRE(machine.converge().has_value());
    machine.instance_id = "2";
    key.applies = {permanent("no")};
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("key").state == StepState::failed);
    key.applies = {Result<void>{}};
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("key").state == StepState::applied);
}

TEST_CASE("engine: a step knows the inputs of its last success, and its own once it has applied",
          "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a").due();
    step.fingerprint = "old";
    REQUIRE(machine.converge().has_value());
    REQUIRE(machine.recorded("a").fingerprint == "old");

    std::vector<std::string> known;
    const auto note = [&](StepContext& context) {
        known.push_back(context.last_fingerprint().value_or("none"));
    };
    step.fingerprint = "new";
    step.due("the inputs changed");
    step.in_check = note;
    step.in_apply = note;
    REQUIRE(machine.converge().has_value());
    CHECK(known == std::vector<std::string>{"old", "old", "new"});
    CHECK(machine.recorded("a").fingerprint == "new");
}

TEST_CASE("engine: inputs that were not brought about are not those of a success",
          "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a");
    step.checks = {StepCheck::due("not there"), StepCheck::due("half of it is there")};
    step.applies = {transient("no network"), Result<void>{}};
    step.traits.attempts = 2;
    std::vector<std::string> known;
    step.in_apply = [&](StepContext& context) {
        known.push_back(context.last_fingerprint().value_or("none"));
    };
    REQUIRE(machine.converge().has_value());
    CHECK(known == std::vector<std::string>{"none", "none"});
    CHECK(machine.recorded("a").fingerprint.empty());
}

TEST_CASE("engine: what was made and cannot be looked at is looked at again, not made again",
          "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a");
    step.checks = {StepCheck::due("not there"), transient("cannot look now"), StepCheck::yes()};
    REQUIRE(machine.converge().has_value());
    CHECK(step.applied == 1);
    CHECK(step.checked == 3);
    CHECK(machine.end_of("a").state == StepState::applied);
}

TEST_CASE("engine: a bug in one step fails that step, and the others go on", "[unit][graph]") {
    Machine machine;
    auto& broken = machine.step("a").due();
    const auto bug = [](StepContext&) { throw std::out_of_range{"index 7"}; };
    SECTION("in its check") {
        broken.in_check = bug;
    }
    SECTION("in its apply") {
        broken.in_apply = bug;
    }
    machine.step("b").due();
    machine.step("c", {"a"});
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("a").state == StepState::failed);
    CHECK(machine.end_of("a").error->message == "a bug in this step: index 7");
    CHECK(machine.end_of("a").error->kind == ErrorKind::permanent);
    CHECK(machine.end_of("b").state == StepState::applied);
    CHECK(machine.end_of("c").state == StepState::blocked);
}

TEST_CASE("engine: a stop unwinds every step, waits for each, and blames none", "[unit][graph]") {
    Machine machine{FakeClock::Advance::by_hand};
    machine.step("done").due();
    machine.step("works").due().apply_takes = 1h;
    machine.step("looks").check_takes = 1h;
    machine.step("waits").fails({transient("no network")});
    machine.step("later", {"works"});
    bool asked = false;
    machine.script("waits").in_apply = [&](StepContext&) {
        boost::asio::post(machine.io, [&] {
            boost::asio::post(machine.io, [&] {
                asked = true;
                machine.stop.request_stop();
            });
        });
    };
    CHECK_THROWS_AS(machine.converge(), Stopped);
    CHECK(asked);
    CHECK(machine.clock.sleeping() == 0);
    CHECK(machine.recorded("done").outcome == "done");
    CHECK(machine.recorded("works").outcome == "interrupted");
    CHECK(machine.recorded("works").attempts == 1);
    CHECK(machine.recorded("looks") == LedgerEntry{}); // nothing was being made
    CHECK(machine.recorded("waits").outcome == "interrupted");
    CHECK(machine.recorded("waits").error.empty());
    CHECK(machine.recorded("later") == LedgerEntry{});
    CHECK(machine.script("later").checked == 0);
    for (const auto& step : machine.seen)
        CHECK(step.state != StepState::failed);
}

TEST_CASE("engine: what a person has to do is waited for, beside everything else",
          "[unit][graph]") {
    Machine machine;
    auto& key = machine.step("key");
    key.traits.deadline = 10s; // what the person takes is not its time
    machine.step("clone", {"key"}).due();
    machine.step("other").due();
    bool added = false;
    std::vector<StepState> others;
    key.in_check = [&](StepContext&) {
        if (key.checked < 5) {
            key.checks = {waiting_for_person("GitHub does not know the key", "add it there")};
            others.push_back(machine.end_of("other").state);
        } else {
            added = true;
            key.checks = {StepCheck::yes("GitHub knows the key")};
        }
    };
    StepState while_waiting{};
    std::string reason;
    machine.script("other").apply_takes = 3s;
    machine.script("other").in_apply = [&](StepContext&) {
        while_waiting = machine.end_of("key").state;
        reason = machine.end_of("key").reason;
    };
    REQUIRE(machine.converge().has_value());
    CHECK(added);
    CHECK(while_waiting == StepState::waiting);
    CHECK(reason == "GitHub does not know the key");
    CHECK(machine.end_of("key").state == StepState::satisfied);
    CHECK_FALSE(machine.end_of("key").error.has_value());
    CHECK(machine.end_of("clone").state == StepState::applied);
    CHECK(others.back() == StepState::applied);
    CHECK(
        machine.lines["key"] ==
        std::vector<std::string>{"waits for a person: GitHub does not know the key; add it there"});
}

TEST_CASE("engine: what waits for a person in its making was no attempt", "[unit][graph]") {
    Machine machine;
    auto& step = machine.step("a");
    step.checks = {StepCheck::due("not there"), StepCheck::due("not there"), StepCheck::yes()};
    step.applies = {waiting_for_person("accept the terms", "write accept_terms"), Result<void>{}};
    LedgerEntry meanwhile;
    step.in_check = [&](StepContext&) {
        if (step.checked == 2)
            meanwhile = machine.recorded("a");
    };
    REQUIRE(machine.converge().has_value());
    CHECK(meanwhile.outcome == "waiting");
    CHECK(meanwhile.attempts == 0);
    CHECK(step.applied == 2);
    CHECK(machine.end_of("a").state == StepState::applied);
    CHECK(machine.end_of("a").attempts == 1);
}

TEST_CASE("engine: nobody is waited for longer than persons are", "[unit][graph]") {
    Machine machine;
    machine.limits.person = 24h;
    machine.step("a").checks = {waiting_for_person("no key", "add it")};
    const auto begin = machine.clock.now();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.clock.now() - begin >= 24h);
    CHECK(machine.clock.now() - begin < 25h);
    CHECK(machine.end_of("a").state == StepState::failed);
    CHECK(machine.end_of("a").error->message == "nobody did within 24 h what it waits for: no key");
    CHECK(machine.end_of("a").error->next == "add it");
}

TEST_CASE("engine: a run that another one is to follow waits for nobody", "[unit][graph]") {
    Machine machine;
    machine.step("a").checks = {waiting_for_person("no key", "add it")};
    machine.step("b", {"a"});
    const auto begin = machine.clock.now();
    machine.superseded = [&] { return machine.clock.now() - begin > 1min; };
    REQUIRE(machine.converge().has_value());
    CHECK(machine.clock.now() - begin < 2min);
    CHECK(machine.end_of("a").state == StepState::waiting);
    CHECK(machine.end_of("a").error->next == "add it");
    CHECK(machine.end_of("b").state == StepState::blocked);
    CHECK(machine.end_of("b").reason == "needs a, which waits for a person");
}

TEST_CASE("engine: a run that has had its time begins nothing more, but still looks",
          "[unit][graph]") {
    Machine machine;
    machine.limits.setup = 60s;
    machine.step("there", {"slow"});
    auto& slow = machine.step("slow").due();
    slow.apply_takes = 61s;
    machine.step("missing", {"slow"}).due("not installed: git");
    REQUIRE(machine.converge().has_value());
    CHECK(machine.end_of("slow").state == StepState::applied); // it was done after all
    CHECK(machine.end_of("there").state == StepState::satisfied);
    CHECK(machine.end_of("missing").state == StepState::failed);
    CHECK(machine.script("missing").applied == 0);
    CHECK(machine.end_of("missing").error->message ==
          "the setup was not done within its limit of 60 s; it stood at: not installed: git");
}

TEST_CASE("engine: a command gets no more time than its run has left, nor does a next attempt",
          "[unit][graph]") {
    Machine machine;
    machine.limits.setup = 60s;
    auto& step = machine.step("a").fails({transient("no network")});
    step.traits.attempts = 1000;
    step.apply_takes = 7s;
    Command command;
    command.argv = {"/bin/apt"};
    command.deadline = 1h;
    step.command = command;
    std::vector<std::chrono::milliseconds> deadlines;
    machine.commands.when({"/bin/apt"}).does([&](const Command& run) {
        deadlines.push_back(run.deadline);
    });
    const auto begin = machine.clock.now();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.clock.now() - begin <= 60s);
    CHECK(deadlines.front() == 53s);
    CHECK(machine.end_of("a").state == StepState::failed);
}

TEST_CASE("engine: waiting for a person is not the run's time", "[unit][graph]") {
    Machine machine;
    machine.limits.setup = 60s;
    auto& key = machine.step("key");
    key.in_check = [&](StepContext&) {
        key.checks = key.checked < 20
                         ? std::deque<Result<StepCheck>>{waiting_for_person("no key", "add it")}
                         : std::deque<Result<StepCheck>>{StepCheck::yes()};
    };
    machine.step("clone", {"key"}).due();
    const auto begin = machine.clock.now();
    REQUIRE(machine.converge().has_value());
    CHECK(machine.clock.now() - begin > 5min);
    CHECK(machine.end_of("clone").state == StepState::applied);
}

TEST_CASE("engine: only what was being made is told to have been interrupted", "[unit][graph]") {
    Machine machine{FakeClock::Advance::by_hand};
    machine.step("works").due().apply_takes = 1h;
    machine.step("looks").check_takes = 1h;
    machine.script("works").in_apply = [&](StepContext&) {
        boost::asio::post(machine.io, [&] {
            boost::asio::post(machine.io, [&] { machine.stop.request_stop(); });
        });
    };
    CHECK_THROWS_AS(machine.converge(), Stopped);
    CHECK(machine.end_of("works").interrupted);
    CHECK_FALSE(machine.end_of("looks").interrupted);
}

TEST_CASE("engine: a broken table is an Error and nothing is run", "[unit][graph]") {
    Machine machine;
    machine.step("a", {"b"});
    machine.step("b", {"a"});
    const auto converged = machine.converge();
    REQUIRE(converged.has_error());
    CHECK(machine.log.empty());
}

TEST_CASE("engine: no steps are soon done", "[unit][graph]") {
    Machine machine;
    const auto converged = machine.converge();
    REQUIRE(converged.has_value());
    CHECK(converged->empty());
}

namespace {

// How a step of a random graph goes.
enum class Course { holds, made, made_late, cannot_look, refused, gives_up, not_so, bug };
constexpr unsigned attempts = 2;

bool ends_well(Course course) {
    return course == Course::holds || course == Course::made || course == Course::made_late;
}

unsigned applies_of(Course course) {
    switch (course) {
    case Course::holds:
    case Course::cannot_look:
        return 0;
    case Course::made_late:
    case Course::gives_up:
        return attempts;
    default:
        return 1;
    }
}

void follow(Script& script, Course course) {
    script.traits.attempts = attempts;
    switch (course) {
    case Course::holds:
        break;
    case Course::made:
        script.due();
        break;
    case Course::made_late:
        script.due();
        script.applies = {transient("once"), Result<void>{}};
        break;
    case Course::cannot_look:
        script.checks = {transient("cannot look")};
        break;
    case Course::refused:
        script.fails({permanent("no")});
        break;
    case Course::gives_up:
        script.fails({transient("not now")});
        break;
    case Course::not_so:
        script.checks = {StepCheck::due("not there")};
        break;
    case Course::bug:
        script.due();
        script.in_apply = [](StepContext&) { throw std::logic_error{"bug"}; };
        break;
    }
}

// One random graph, converged once; says what went against the rules.
std::string converge_randomly(std::mt19937& chance) {
    Machine machine;
    std::map<std::string, Course> courses;
    std::map<std::string, std::vector<std::string>> needs;
    const std::size_t count = 1 + chance() % 5;
    const unsigned density = chance() % 100;
    std::vector<std::string> ids;
    for (std::size_t i = 0; i < count; ++i)
        ids.push_back(std::string(1, static_cast<char>('a' + i)));
    std::shuffle(ids.begin(), ids.end(), chance);
    const bool mostly_well = chance() % 2 == 0;
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t before = 0; before < i; ++before)
            if (chance() % 100 < density)
                needs[ids[i]].push_back(ids[before]);
        auto& script = machine.step(ids[i], needs[ids[i]]);
        const auto course = static_cast<Course>(chance() % 8);
        courses[ids[i]] =
            mostly_well && !ends_well(course) && chance() % 4 != 0 ? Course::made : course;
        follow(script, courses[ids[i]]);
        script.check_takes = std::chrono::milliseconds{chance() % 4 == 0 ? 1 : 0};
        script.apply_takes = std::chrono::milliseconds{chance() % 3};
    }
    machine.scripts.sort(
        [](const Script& a, const Script& b) { return a.traits.id < b.traits.id; });

    std::string broken;
    std::set<std::string> well;
    for (auto& script : machine.scripts) {
        script.in_check = [&, id = script.traits.id](StepContext&) {
            for (const auto& need : needs[id])
                if (machine.end_of(need).state != StepState::applied &&
                    machine.end_of(need).state != StepState::satisfied)
                    broken = id + " was looked at before " + need + " had ended";
        };
    }
    if (!machine.converge())
        return "the table was refused";
    for (const auto& id : ids) { // needs come before in this order
        const bool met = std::all_of(needs[id].begin(), needs[id].end(), [&](const auto& need) {
            return well.contains(need);
        });
        const Course course = courses[id];
        const StepState expected = !met                      ? StepState::blocked
                                   : !ends_well(course)      ? StepState::failed
                                   : course == Course::holds ? StepState::satisfied
                                                             : StepState::applied;
        if (machine.end_of(id).state != expected)
            return id + " is " + std::string{name_of(machine.end_of(id).state)} + ", not " +
                   std::string{name_of(expected)};
        if (machine.script(id).applied != (met ? applies_of(course) : 0))
            return id + " was made " + std::to_string(machine.script(id).applied) + " times";
        if (!met && machine.script(id).checked > 0)
            return id + " is blocked and was looked at";
        if (met && ends_well(course))
            well.insert(id);
    }
    return broken;
}

} // namespace

TEST_CASE("engine: whatever the graph and however its steps go, converging ends and the rules hold",
          "[unit][graph]") {
    std::mt19937 chance{19700101};
    for (int graph = 0; graph < 2000; ++graph) {
        const std::string broken = converge_randomly(chance);
        INFO("graph " << graph << ": " << broken);
        REQUIRE(broken.empty());
    }
}

TEST_CASE("engine: looking finds what is due and why, and changes nothing", "[unit][graph]") {
    Machine machine;
    machine.step("a");
    machine.step("b", {"a"}).due("not installed: git");
    machine.step("c", {"b"}).checks = {transient("there is no user jupyter")};
    machine.step("d", {"c"}).checks = {StepCheck::yes("as it was")};
    machine.step("e").checks = {permanent("dpkg is broken")};
    std::filesystem::create_directories(machine.root() / "/var/lib/agent/ledger");
    const auto before = machine.ledger_on_disk();

    const auto found = machine.look().value();
    REQUIRE(found.size() == 5);
    const auto is = [&](std::size_t index, Outlook::Will will, const std::string& after) {
        CHECK(found[index].will == will);
        CHECK(found[index].after == after);
    };
    is(0, Outlook::Will::nothing, "");
    is(1, Outlook::Will::run, "");
    CHECK(found[1].why == "not installed: git");
    is(2, Outlook::Will::wait, "b");
    CHECK(found[2].why == "there is no user jupyter");
    is(3, Outlook::Will::nothing, "");
    is(4, Outlook::Will::fail, "");
    CHECK(found[4].why == "dpkg is broken");

    CHECK(only(machine.log, "apply").empty());
    CHECK(machine.log ==
          std::vector<std::string>{"check a", "check e", "check b", "check c", "check d"});
    CHECK(machine.ledger_on_disk() == before);
    CHECK(machine.commands.ran.empty());
}

TEST_CASE("engine: looking knows the past as converging does", "[unit][graph]") {
    Machine machine;
    machine.step("a").traits.scope = Scope::instance;
    auto& b = machine.step("b");
    std::optional<std::string> last;
    b.in_check = [&last](StepContext& context) { last = context.last_fingerprint(); };
    REQUIRE(machine.converge().has_value());
    machine.instance_id = "43";
    const auto before = machine.ledger_on_disk();
    const auto found = machine.look().value();
    CHECK(found[0].will == Outlook::Will::run);
    CHECK(found[0].why == "this disk was provisioned on another instance");
    CHECK(last == "inputs");
    CHECK(machine.ledger_on_disk() == before);
}

TEST_CASE("engine: a bug in a check is told by looking, a stop unwinds it", "[unit][graph]") {
    Machine machine;
    SECTION("a bug") {
        machine.step("a").in_check = [](StepContext&) { throw std::logic_error{"off by one"}; };
        machine.step("b", {"a"});
        const auto found = machine.look().value();
        CHECK(found[0].will == Outlook::Will::fail);
        CHECK_THAT(found[0].why, ContainsSubstring("off by one"));
        CHECK(found[1].will == Outlook::Will::nothing);
    }
    SECTION("a stop") {
        machine.step("a").check_takes = 10s;
        machine.stop.request_stop();
        CHECK_THROWS_AS(machine.look(), Stopped);
    }
}
