#include "agent/steps/apt.hpp"
#include "tests/support/result_value.hpp"
#include "tests/support/step_world.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

using namespace agent;
using namespace agent::test;
using Catch::Matchers::ContainsSubstring;
using Words = std::vector<std::string>;

namespace {

CommandOutcome apt_ended(int code, std::string errors, std::string output = {}) {
    CommandOutcome outcome;
    outcome.argv = {"/usr/bin/apt-get", "install"};
    outcome.status = Exited{code};
    outcome.output = std::move(output);
    outcome.error_tail = std::move(errors);
    return outcome;
}

} // namespace

TEST_CASE("apt: what dpkg does not hold installed is missing", "[unit][steps]") {
    struct Row {
        std::string said; // of git
        bool missing;
    };
    const auto row = GENERATE(Row{"git\tii \t1:2.39.2-1.1\n", false},
                              Row{"", true},
                              Row{"git\tun \t\n", true},
                              Row{"git\trc \t1:2.39.2-1.1\n", true},
                              Row{"git\tiU \t1:2.39.2-1.1\n", true},
                              Row{"git\tiF \t1:2.39.2-1.1\n", true},
                              Row{"git\thi \t1:2.39.2-1.1\n", false}, // on hold, and installed
                              Row{"git-man\tii \t1:2.39.2-1.1\n", true},
                              Row{"git\tii\n", true},
                              Row{"git\t\t1\n", true});
    CHECK(missing_packages({"git"}, row.said) == (row.missing ? Words{"git"} : Words{}));
}

TEST_CASE("apt: a pin is met by its version alone, no pin by any", "[unit][steps]") {
    const std::string said = "git\tii \t1:2.39.2-1.1\ncurl\tii \t7.88.1-10\n";
    CHECK(missing_packages({"git=1:2.39.2-1.1", "curl"}, said).empty());
    CHECK(missing_packages({"git=1:2.39.2", "curl=7.88.1-10", "wget"}, said) ==
          Words{"git=1:2.39.2", "wget"});
}

TEST_CASE("apt: what apt-get said becomes a kind and a next step", "[unit][steps]") {
    struct Row {
        int code;
        std::string said;
        ErrorKind kind;
        std::string message;
        std::string next;
    };
    const auto row =
        GENERATE(Row{100,
                     "E: Unable to locate package libgl1-mesa-gxl\n",
                     ErrorKind::permanent,
                     "apt knows no package libgl1-mesa-gxl",
                     "[apt] packages"},
                 Row{100,
                     "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 "
                     "(unattended-upgr)\nE: Unable to acquire the dpkg frontend lock\n",
                     ErrorKind::transient,
                     "apt-get exited with status 100: E: Could not get lock",
                     "wait until that program has ended"},
                 Row{100,
                     "W: Failed to fetch http://mirror.example.com/debian/dists/bookworm/InRelease "
                     " Temporary "
                     "failure resolving 'mirror.example.com'\n",
                     ErrorKind::transient,
                     "Temporary failure resolving",
                     ""},
                 Row{100,
                     "E: Failed to fetch http://mirror.example.com/x.deb  404  Not Found\nE: "
                     "Unable to fetch "
                     "some archives, maybe run apt-get update or try with --fix-missing?\n",
                     ErrorKind::transient,
                     "404  Not Found",
                     ""},
                 Row{100,
                     "E: Write error - write (28: No space left on device)\nE: Failed to fetch x\n",
                     ErrorKind::permanent,
                     "No space left on device",
                     "boot disk"},
                 Row{100,
                     "E: Version '9' for 'git' was not found\n",
                     ErrorKind::permanent,
                     "Version '9' for 'git' was not found",
                     "apt-cache policy"},
                 Row{100,
                     "E: Package 'mail-transport-agent' has no installation candidate\n",
                     ErrorKind::permanent,
                     "no installation candidate",
                     "provides it"},
                 Row{100,
                     "E: Packages need to be removed but remove is disabled.\n",
                     ErrorKind::permanent,
                     "remove is disabled",
                     "the agent removes none"},
                 Row{100,
                     "E: Failed to fetch https://x/y.deb  Certificate verification failed: The "
                     "certificate is NOT trusted.\n",
                     ErrorKind::permanent,
                     "NOT trusted",
                     "[network] ca_certificates"},
                 Row{1, "", ErrorKind::permanent, "apt-get exited with status 1", ""});
    const Error error = apt_error(apt_ended(row.code, row.said));
    CHECK(error.kind == row.kind);
    CHECK_THAT(error.message, ContainsSubstring(row.message));
    CHECK_THAT(error.next, ContainsSubstring(row.next));
}

TEST_CASE("apt: an unknown package is named even behind other complaints", "[unit][steps]") {
    const Error error =
        apt_error(apt_ended(100,
                            "W: Failed to fetch http://mirror  Connection timed out\n"
                            "E: Unable to locate package \x1b[31mno-such-package\n"));
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(error.message == "apt knows no package ?[31mno-such-package");
}

TEST_CASE("apt: who provides a name is as good as its bearer, but for a pin", "[unit][steps]") {
    const std::string said = "exim4-daemon-light\tii \tmail-transport-agent, smtp (= 4.96)\n"
                             "gone\trc \teditor\n"
                             "plain\tii \t\n";
    CHECK(unprovided_packages({"mail-transport-agent", "smtp"}, said).empty());
    CHECK(unprovided_packages({"editor", "smtp=4.96", "exim4-daemon-light", "4.96)"}, said) ==
          Words{"editor", "smtp=4.96", "exim4-daemon-light", "4.96)"});
}

TEST_CASE("apt: its command line asks nothing, removes nothing and knows the proxy",
          "[unit][steps]") {
    const Network network{"http://proxy.example.com:3128", {}, "/etc/company.pem"};
    const Command command = apt_get(network, {"update"});
    for (const std::string word : {"--no-remove",
                                   "--option=Acquire::http::Proxy=http://proxy.example.com:3128",
                                   "--option=Acquire::https::Proxy=http://proxy.example.com:3128",
                                   "--option=Acquire::https::CAInfo=/etc/company.pem",
                                   "--option=Dpkg::Options::=--force-confold"})
        CHECK(FakeCommands::has_word(command, word));
    CHECK(command.argv.back() == "update");
    CHECK(command.environment.at("DEBIAN_FRONTEND") == "noninteractive");
    CHECK(command.environment.at("https_proxy") == "http://proxy.example.com:3128"); // maintainers'
    for (const auto& word : apt_get({}, {"update"}).argv)
        CHECK_THAT(word, !ContainsSubstring("Proxy") && !ContainsSubstring("CAInfo"));
}
