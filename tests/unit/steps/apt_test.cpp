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
                     "E: Failed to fetch http://x/dists/y/main/binary-amd64/Packages  Hash Sum "
                     "mismatch\n   Hashes of expected file:\n    - Filesize:1 [weak]\n"
                     "    - SHA256:aa\n   Hashes of received file:\n    - SHA256:bb\n"
                     "   Last modification reported: Tue, 02 Jan 2024 03:04:05 +0000\n"
                     "   Release file created at: Tue, 02 Jan 2024 03:04:05 +0000\n"
                     "E: Some index files failed to download. They have been ignored, or old ones "
                     "used instead.\n",
                     ErrorKind::transient,
                     "Packages  Hash Sum mismatch | E: Some index files",
                     "network"},
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

TEST_CASE("apt: which packages do not go together is said, and which of them is on hold",
          "[unit][steps]") {
    const std::string unmet = "Some packages could not be installed. This may mean that you have\n"
                              "The following information may help to resolve the situation:\n\n"
                              "The following packages have unmet dependencies:\n"
                              " needs-lib : Depends: lib (>= 2.0) but 1.0 is to be installed\n";
    // Debian 13 says more.
    const std::string solver =
        GENERATE("",
                 "E: The following information from --solver 3.0 may provide additional context:\n"
                 "   Unable to satisfy dependencies. Reached two conflicting decisions:\n"
                 "   1. needs-lib:amd64=1.0 is selected for install\n"
                 "   2. needs-lib:amd64 Depends lib (>= 2.0)\n"
                 "      but none of the choices are installable:\n");
    const auto outcome = apt_ended(
        100, "E: Unable to correct problems, you have held broken packages.\n" + solver, unmet);
    Error error = apt_error(outcome);
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(error.message == "packages that do not go together: needs-lib : Depends: lib (>= 2.0) "
                           "but 1.0 is to be installed");
    CHECK_THAT(error.next, ContainsSubstring("[apt] packages"));
    CHECK(apt_error(outcome, {"li", "needs", "libs"}).next == error.next);
    CHECK(apt_error(outcome, {"lib", "wget"}).next ==
          "lib is on hold: `sudo apt-mark unhold lib` lets apt change that");
    CHECK(apt_error(outcome, {"lib", "needs-lib"}).next ==
          "lib needs-lib are on hold: `sudo apt-mark unhold lib needs-lib` lets apt change that");

    error = apt_error(apt_ended(
        100,
        "E: Held packages were changed and -y was used without --allow-change-held-packages.\n",
        "The following held packages will be changed:\n  lib\nThe following packages will be "
        "upgraded:\n  lib\n"));
    CHECK(error.message == "apt would have to change what is on hold: lib");
    CHECK_THAT(error.next, ContainsSubstring("apt-mark unhold lib`"));
}

TEST_CASE("apt: what would have to be removed is named", "[unit][steps]") {
    const Error error = apt_error(apt_ended(100,
                                            "E: Packages need to be removed but remove is "
                                            "disabled.\n",
                                            "The following packages will be REMOVED:\n  lib tool\n"
                                            "0 upgraded, 1 newly installed, 2 to remove\n"));
    CHECK(error.kind == ErrorKind::permanent);
    CHECK_THAT(error.message, ContainsSubstring("remove is disabled.: lib tool"));
}

TEST_CASE("apt: a package whose script fails is named, with the script's last words",
          "[unit][steps]") {
    struct Row {
        std::string output;
        std::string errors;
        std::string message;
    };
    const auto row = GENERATE(
        Row{"Setting up bad (1.0) ...\n",
            "debconf: delaying package configuration, since apt-utils is not installed\n"
            "cannot reach the licence server\n"
            "dpkg: error processing package bad (--configure):\n"
            " installed bad package post-installation script subprocess returned error exit status "
            "7\n"
            "dpkg: dependency problems prevent configuration of onbad:\n"
            " onbad depends on bad; however:\n"
            "dpkg: error processing package onbad (--configure):\n"
            " dependency problems - leaving unconfigured\n"
            "Errors were encountered while processing:\n bad\n onbad\n"
            "E: Sub-process /usr/bin/dpkg returned an error code (1)\n",
            "bad: installed bad package post-installation script subprocess returned error exit "
            "status 7; its last words: cannot reach the licence server"},
        // It asked, and nobody was there.
        Row{"Setting up other (1.0) ...\nother is fine\nSetting up ask (1.0) ...\nDo you agree? ",
            "dpkg: error processing package ask (--configure):\n"
            " installed ask package post-installation script subprocess returned error exit status "
            "1\nErrors were encountered while processing:\n ask\n",
            "ask: installed ask package post-installation script subprocess returned error exit "
            "status 1; its last words: Do you agree?"},
        Row{"Unpacking x (1) ...\n",
            "dpkg: error processing archive /var/cache/apt/archives/x_1_all.deb (--unpack):\n"
            " trying to overwrite '/usr/bin/x', which is also in package y 1.0\n",
            "/var/cache/apt/archives/x_1_all.deb: trying to overwrite '/usr/bin/x', which is also "
            "in package y 1.0"});
    const Error error = apt_error(apt_ended(100, row.errors, row.output));
    CHECK(error.kind == ErrorKind::permanent);
    CHECK(error.message == row.message);
    CHECK_THAT(error.next, ContainsSubstring("`sudo dpkg --configure -a`"));
}

TEST_CASE("apt: a disk that is full under a package is said as such", "[unit][steps]") {
    const Error error = apt_error(apt_ended(
        100,
        "dpkg: error processing archive /x.deb (--unpack):\n cannot copy extracted data for "
        "'./usr/x' to '/usr/x.dpkg-new': failed to write (No space left on device)\n"));
    CHECK_THAT(error.message, ContainsSubstring("No space left on device"));
    CHECK_THAT(error.next, ContainsSubstring("disk space"));
}

TEST_CASE("apt: what was being set up when apt did not end is named", "[unit][steps]") {
    auto outcome = apt_ended(0, "", "Setting up a (1) ...\nSetting up hang (1.0) ...\nwaiting\n");
    outcome.status = TimedOut{};
    outcome.duration = std::chrono::minutes{30};
    CHECK_THAT(apt_error(outcome).message,
               ContainsSubstring("did not end within 1800 s") &&
                   ContainsSubstring("while it was setting up hang (1.0)"));
}

TEST_CASE("apt: a dpkg or an apt that was killed is tried again", "[unit][steps]") {
    CHECK(apt_error(apt_ended(100, "E: Sub-process /usr/bin/dpkg exited unexpectedly\n")).kind ==
          ErrorKind::transient);
    auto outcome = apt_ended(0, "");
    outcome.status = Signaled{SIGKILL};
    CHECK(apt_error(outcome).kind == ErrorKind::transient);
}

TEST_CASE("apt: what is cut off and what is on hold is read from dpkg's own letters",
          "[unit][steps]") {
    const std::string said = "big\tiHR\tbig:amd64\nlib\thi \tlib\nold\tpi \told\nnew\tiU \tnew\n"
                             "cut\thHR\tcut:i386\nbroken line\n";
    CHECK(half_unpacked_packages(said) == Words{"big:amd64", "cut:i386"});
    CHECK(held_packages(said) == Words{"lib", "cut"});
}

TEST_CASE("apt: lists that could not be fetched are told from those that were", "[unit][steps]") {
    CHECK(lists_problem(apt_ended(0, "", "Hit:1 http://x y InRelease\n")).empty());
    CHECK(lists_problem(apt_ended(0,
                                  "W: Failed to fetch http://x/InRelease  Could not connect\n"
                                  "W: Some index files failed to download. They have been "
                                  "ignored, or old ones used instead.\n")) ==
          "Failed to fetch http://x/InRelease  Could not connect");
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
