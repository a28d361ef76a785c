#include "agent/commands/reach.hpp"

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sstream>
#include <string>

using namespace agent;
using Catch::Matchers::ContainsSubstring;

namespace {

MachineCard a_card() {
    MachineCard card;
    card.name = "vm-1";
    card.project = "example-project";
    card.zone = "europe-west1-b";
    card.network = "default";
    card.tags = {"jupyter", "web"};
    card.has_external_address = true;
    card.reach = Reach::everywhere;
    return card;
}

} // namespace

TEST_CASE("reach: a firewall rule for this VM, and the tunnel", "[unit][commands]") {
    CHECK(reach_advice(a_card()) ==
          "If your browser does not reach it, let your address in:\n"
          "  gcloud compute firewall-rules create allow-jupyter-8888 \\\n"
          "    --project=example-project --network=default --allow=tcp:8888 \\\n"
          "    --target-tags=jupyter --source-ranges=YOUR-IP/32\n"
          "or come through Google's tunnel, which such a rule for 35.235.240.0/20\n"
          "lets in, and then https://localhost:8888/:\n"
          "  gcloud compute start-iap-tunnel vm-1 8888 --local-host-port=localhost:8888 \\\n"
          "    --zone=europe-west1-b --project=example-project\n");
}

TEST_CASE("reach: a VM without a tag gets one first", "[unit][commands]") {
    MachineCard card = a_card();
    card.tags.clear();
    CHECK_THAT(
        reach_advice(card),
        ContainsSubstring("let your address in:\n"
                          "  gcloud compute instances add-tags vm-1 --tags=jupyter \\\n"
                          "    --project=example-project --zone=europe-west1-b\n"
                          "  gcloud compute firewall-rules create allow-jupyter-8888 \\\n"
                          "    --project=example-project --network=default --allow=tcp:8888 \\\n"
                          "    --target-tags=jupyter --source-ranges=YOUR-IP/32\n"));
}

TEST_CASE("reach: without an address outside its network the tunnel is the only way",
          "[unit][commands]") {
    MachineCard card = a_card();
    card.has_external_address = false;
    card.port = 443; // which a person's own machine would not let him listen on
    CHECK(reach_advice(card) ==
          "It has no address outside its network; let Google's tunnel in:\n"
          "  gcloud compute firewall-rules create allow-jupyter-443 \\\n"
          "    --project=example-project --network=default --allow=tcp:443 \\\n"
          "    --target-tags=jupyter --source-ranges=35.235.240.0/20\n"
          "and come through it, and then https://localhost:8443/:\n"
          "  gcloud compute start-iap-tunnel vm-1 443 --local-host-port=localhost:8443 \\\n"
          "    --zone=europe-west1-b --project=example-project\n");
}

TEST_CASE("reach: without a password ssh carries the port", "[unit][commands]") {
    MachineCard card = a_card();
    card.reach = Reach::this_machine;
    CHECK(reach_advice(card) ==
          "Without a password the port is open on this machine alone. From yours,\n"
          "and then https://localhost:8888/:\n"
          "  gcloud compute ssh vm-1 --project=example-project --zone=europe-west1-b -- \\\n"
          "    -L 8888:localhost:8888\n");
    CHECK(reach_advice(MachineCard{}) ==
          "Without a password the port is open on this machine alone. From yours,\n"
          "and then https://localhost:8888/:\n"
          "  ssh -L 8888:localhost:8888 THIS-MACHINE\n");
}

TEST_CASE("reach: of a machine that is no VM of GCE there is nothing to say", "[unit][commands]") {
    MachineCard card;
    card.reach = Reach::everywhere;
    CHECK(reach_advice(card).empty());
}

TEST_CASE("reach: nothing that could mean something to a shell is shown", "[unit][commands]") {
    const std::string evil = GENERATE(as<std::string>{},
                                      "$(reboot)",
                                      "a b",
                                      "x;y",
                                      "`id`",
                                      "'",
                                      "-rf",
                                      "a\nb",
                                      "A",
                                      "\033[2J",
                                      "пример");
    MachineCard card = a_card();
    card.name = card.project = card.zone = card.network = evil;
    card.tags = {evil};
    const std::string advice = reach_advice(card);
    CHECK_THAT(advice, !ContainsSubstring(" " + evil + " "));
    CHECK_THAT(advice, !ContainsSubstring("=" + evil));
    CHECK_THAT(advice, ContainsSubstring("start-iap-tunnel NAME 8888"));
    CHECK_THAT(advice, ContainsSubstring("--project=PROJECT"));
    CHECK_THAT(advice, ContainsSubstring("--network=NETWORK"));
    CHECK_THAT(advice, ContainsSubstring("--zone=ZONE"));
    CHECK_THAT(advice, ContainsSubstring("add-tags NAME --tags=jupyter"));
    card.tags = {evil, "fine"};
    CHECK_THAT(reach_advice(card), ContainsSubstring("--target-tags=fine"));
}

TEST_CASE("reach: lines are not longer than a terminal", "[unit][commands]") {
    MachineCard card = a_card();
    card.name = std::string(30, 'n');
    card.project = "example.com:" + std::string(20, 'p');
    std::istringstream lines{reach_advice(card)};
    for (std::string line; std::getline(lines, line);) {
        INFO(line);
        CHECK(line.size() <= 80);
    }
}
