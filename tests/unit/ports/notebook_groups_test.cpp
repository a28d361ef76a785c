#include "agent/ports/notebook_groups.hpp"
#include "tests/support/result_value.hpp"

#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace agent;
using Groups = std::vector<gid_t>;

namespace {

CommandOutcome answer(std::string output,
                      std::variant<Exited, Signaled, TimedOut> status = Exited{0}) {
    CommandOutcome outcome;
    outcome.argv = {"/usr/bin/getent"};
    outcome.status = status;
    outcome.output = std::move(output);
    return outcome;
}

} // namespace

TEST_CASE("notebook groups: those of Google's guest agent are left, those of devices are kept",
          "[unit][ports]") {
    const std::string named = "adm:x:4:admin\ndip:x:30:admin\nvideo:x:44:admin\n"
                              "plugdev:x:46:admin\nlxd:x:110:admin\ndocker:x:998:admin\n"
                              "admin:x:1000:\ngoogle-sudoers:x:1002:admin\n";
    CHECK(powerful_groups({4, 30, 44, 46, 110, 998, 1000, 1002}, 1000, answer(named)).value() ==
          Groups{4, 110, 998, 1002});
}

TEST_CASE("notebook groups: a group that people made is kept", "[unit][ports]") {
    CHECK(powerful_groups({1000, 2000}, 1000, answer("research:x:2000:a,b\n")).value().empty());
}

TEST_CASE("notebook groups: a system group that nobody knows is left, the user's own is kept",
          "[unit][ports]") {
    const auto named = answer("jupyter:x:995:\n", Exited{2}); // getent: not all were found
    CHECK(powerful_groups({0, 777, 995, 3000}, 995, named).value() == Groups{0, 777});
}

TEST_CASE("notebook groups: without an answer nothing is decided", "[unit][ports]") {
    for (const auto& named :
         {answer("", TimedOut{}), answer("", Exited{1}), answer("", Signaled{9})}) {
        const auto found = powerful_groups({2000}, 1000, named);
        REQUIRE(found.has_error());
        CHECK(found.error().kind == ErrorKind::transient);
    }
}

TEST_CASE("notebook groups: all are asked for at once", "[unit][ports]") {
    CHECK(name_groups({4, 1000}).argv ==
          std::vector<std::string>{"/usr/bin/getent", "group", "4", "1000"});
}
