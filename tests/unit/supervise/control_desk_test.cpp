#include "agent/ports/layout.hpp"
#include "agent/supervise/control_desk.hpp"
#include "tests/fakes/fake_accounts.hpp"
#include "tests/fakes/fake_clock.hpp"
#include "tests/fakes/fake_privileges.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/run_coroutine.hpp"
#include "tests/support/temp_root.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using Outcome = ControlAnswer::Outcome;
using Verb = ControlRequest::Verb;

namespace {

constexpr uid_t root = 0;
constexpr uid_t anna = 1001; // a sudoer
constexpr uid_t ben = 1002;  // nobody special
constexpr uid_t jupyter = 1003;
constexpr uid_t stranger = 1004; // whom no name service knows

class Desk {
public:
    Desk() {
        std::filesystem::create_directories(root_.path() / "run/agent");
        accounts.add("anna").uid = anna;
        accounts.add("ben").uid = ben;
        accounts.add("jupyter").uid = jupyter;
        privileges.sudoers = {"anna"};
        open();
    }
    // As a daemon that starts.
    void open() {
        desk.emplace(ControlDesk::World{root_.root(),
                                        accounts,
                                        privileges,
                                        clock,
                                        [] { return std::string{"jupyter"}; },
                                        [this](const std::string& step) {
                                            retried.push_back(step);
                                            return ControlAnswer{Outcome::accepted, "as you say"};
                                        }});
    }
    ControlAnswer ask(uid_t who, ControlRequest request) {
        boost::asio::io_context io;
        return run_coroutine(io, desk->answer({who, 4242}, std::move(request)));
    }
    ControlAnswer hold(uid_t who, std::chrono::seconds duration) {
        return ask(who, {Verb::hold, {}, duration});
    }
    [[nodiscard]] std::filesystem::path file() const { return root_.root() / layout::hold_file; }
    [[nodiscard]] bool held() const { return desk->hold().at(clock.since_boot()).has_value(); }

    FakeClock clock;
    FakeAccounts accounts;
    FakePrivileges privileges;
    std::vector<std::string> retried;
    std::optional<ControlDesk> desk;

private:
    TempRoot root_{TempRoot::in_memory()};
};

} // namespace

TEST_CASE("control: root and sudoers may ask for a retry, nobody else", "[unit][supervise]") {
    Desk desk;
    CHECK(desk.ask(root, {Verb::retry, "python", {}}).outcome == Outcome::accepted);
    CHECK(desk.privileges.asked == 0);
    CHECK(desk.ask(anna, {Verb::retry, "", {}}).message == "as you say");
    for (const uid_t other : {ben, jupyter, stranger}) {
        const auto answer = desk.ask(other, {Verb::retry, "python", {}});
        CHECK(answer.outcome == Outcome::forbidden);
        CHECK_THAT(answer.message, ContainsSubstring("use `sudo agent retry`"));
    }
    CHECK(desk.retried == std::vector<std::string>{"python", ""});
}

TEST_CASE("control: the service user holds the machine for a day at most, root for a week",
          "[unit][supervise]") {
    Desk desk;
    CHECK(desk.hold(ben, 1h).outcome == Outcome::forbidden);
    CHECK_FALSE(std::filesystem::exists(desk.file()));
    const auto beyond = desk.hold(jupyter, 24h + 1s);
    CHECK(beyond.outcome == Outcome::invalid);
    CHECK(beyond.message == "jupyter may hold the machine for at most 24 h at a time");
    CHECK_FALSE(desk.held());
    CHECK(desk.hold(jupyter, 24h).outcome == Outcome::accepted);
    CHECK(desk.held());
    CHECK(desk.hold(anna, 24h * 7).outcome == Outcome::accepted);
    CHECK(desk.hold(root, 24h * 7 + 1s).outcome == Outcome::invalid);
}

TEST_CASE("control: only who may act as root ends a hold", "[unit][supervise]") {
    Desk desk;
    REQUIRE(desk.hold(root, 1h).outcome == Outcome::accepted);
    CHECK(desk.ask(jupyter, {Verb::release, {}, {}}).outcome == Outcome::forbidden);
    CHECK(desk.held());
    CHECK(desk.ask(anna, {Verb::release, {}, {}}).outcome == Outcome::accepted);
    CHECK_FALSE(desk.held());
    CHECK_FALSE(std::filesystem::exists(desk.file()));
    CHECK(desk.ask(anna, {Verb::release, {}, {}}).message == "nobody held the machine");
}

TEST_CASE("control: a shorter hold leaves the longer one, and says whose it is",
          "[unit][supervise]") {
    Desk desk;
    CHECK(desk.hold(anna, 2h).message == "held up until 2023-11-15 01:13 UTC by anna");
    CHECK(desk.hold(jupyter, 1h).message ==
          "held up longer already, until 2023-11-15 01:13 UTC by anna");
    CHECK(read_hold(Root{desk.file().parent_path().parent_path().parent_path()})
              .value()
              .at(desk.clock.since_boot())
              ->by == "anna");
}

TEST_CASE("control: a hold outlives the daemon, not the file", "[unit][supervise]") {
    Desk desk;
    REQUIRE(desk.hold(anna, 2h).outcome == Outcome::accepted);
    desk.open();
    CHECK(desk.held());
    std::filesystem::remove(desk.file());
    desk.open();
    CHECK_FALSE(desk.held());
}

TEST_CASE("control: a hold that cannot be read is none", "[unit][supervise]") {
    Desk desk;
    std::ofstream{desk.file()} << "{\"version\":1,";
    desk.open();
    CHECK_FALSE(desk.held());
    CHECK(desk.hold(root, 1h).outcome == Outcome::accepted);
}

TEST_CASE("control: when it cannot be told who asks, nothing is done", "[unit][supervise]") {
    Desk desk;
    SECTION("getent fails") {
        desk.accounts.refusal = transient("getent did not end within 30 s");
    }
    SECTION("sudo fails") {
        desk.privileges.refusal = transient("sudo did not end within 15 s");
    }
    const auto answer = desk.ask(anna, {Verb::retry, "", {}});
    CHECK(answer.outcome == Outcome::failed);
    CHECK_THAT(answer.message, ContainsSubstring("did not end within"));
    CHECK_THAT(answer.message, ContainsSubstring("use `sudo agent retry`"));
    CHECK(desk.retried.empty());
    CHECK(desk.ask(root, {Verb::retry, "", {}}).outcome == Outcome::accepted);
}
