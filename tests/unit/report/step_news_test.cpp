#include "agent/report/step_news.hpp"
#include "tests/support/step_status.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Lines = std::vector<std::string>;

namespace {

constexpr auto every_change = StepNews::Telling::every_change;

} // namespace

TEST_CASE("step news: every change of a step is one line, and none is told twice",
          "[unit][report]") {
    StepNews news{every_change};
    CHECK(
        news.lines(with({step("python", "pending"), step("tls_certificate", "pending")})).empty());
    CHECK(news.lines(with({step("python", "running", "no Python at /opt/jupyter"),
                           step("tls_certificate", "satisfied", "SHA-256 12ab...")})) ==
          Lines{"python: running (no Python at /opt/jupyter)",
                "tls_certificate: satisfied (SHA-256 12ab...)"});
    CHECK(news.lines(with({step("python", "running", "making a venv"),
                           step("tls_certificate", "satisfied")}))
              .empty());
    auto applied = step("python", "applied", "Python 3.11.2");
    applied.seconds = 12.6;
    CHECK(news.lines(with({applied, step("tls_certificate", "satisfied")})) ==
          Lines{"python: applied in 12.6 s (Python 3.11.2)"});
}

TEST_CASE("step news: a failure is told with its error, a blocked step with its cause",
          "[unit][report]") {
    StepNews news{every_change};
    CHECK(news.lines(with({step("python", "failed", "", "no space left"),
                           step("ready", "blocked", "needs python, which failed")})) ==
          Lines{"python: failed: no space left", "ready: blocked (needs python, which failed)"});
    CHECK(news.lines(with({step("python", "running"), step("ready", "pending")})) ==
          Lines{"python: running"});
    CHECK(news.lines(with({step("python", "failed", "", "again"), step("ready", "blocked")})) ==
          Lines{"python: failed: again"});
}

TEST_CASE("step news: a line is one line on a serial console, and bounded", "[unit][report]") {
    StepNews news{every_change};
    const auto lines = news.lines(
        with({step("python", "failed", "", "two\nlines \x1b[2J" + std::string(5000, 'x'))}));
    REQUIRE(lines.size() == 1);
    CHECK(lines.front().size() <= 303);
    CHECK(lines.front().starts_with("python: failed: two lines ?[2J"));
}

TEST_CASE("step news: of the ends, what was so already is not told", "[unit][report]") {
    StepNews news{StepNews::Telling::ends};
    CHECK(news.lines(with({step("python", "running"), step("front", "satisfied")})).empty());
    CHECK(news.lines(with({step("python", "applied"), step("front", "satisfied")})) ==
          Lines{"python: applied in 0.0 s"});
    CHECK(news.lines(with({step("python", "applied"), step("front", "failed", "", "no port")})) ==
          Lines{"front: failed: no port"});
}

TEST_CASE("step news: what is done again is told again", "[unit][report]") {
    StepNews news{StepNews::Telling::ends};
    CHECK(news.lines(with({step("python", "applied")})).size() == 1);
    CHECK(news.lines(with({step("python", "pending")})).empty());
    CHECK(news.lines(with({step("python", "running")})).empty());
    CHECK(news.lines(with({step("python", "applied")})).size() == 1);
}
