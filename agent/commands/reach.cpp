#include "agent/commands/reach.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

namespace agent {
namespace {

constexpr std::size_t width = 80;
// https://cloud.google.com/iap/docs/using-tcp-forwarding: where its connections come from.
constexpr std::string_view tunnel_range = "35.235.240.0/20";

bool is_plain(std::string_view text) {
    constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyz0123456789-.:";
    return !text.empty() && text.size() <= 253 && text.front() != '-' &&
           text.find_first_not_of(plain) == std::string_view::npos;
}

std::string or_word(const std::string& value, std::string_view word) {
    return is_plain(value) ? value : std::string{word};
}

// One command, on lines that end in a backslash where it goes on.
std::string command(const std::vector<std::string>& words) {
    std::string text;
    std::string line = " ";
    for (const auto& word : words) {
        if (line.size() + 1 + word.size() + 2 > width) {
            text += line + " \\\n";
            line = "   ";
        }
        line += " " + word;
    }
    return text + line + "\n";
}

class Advice {
public:
    explicit Advice(const MachineCard& card)
        : card_{card}, port_{std::to_string(card.port)},
          // Below 1024 the person's own machine would ask for root.
          local_{std::to_string(card.port < 1024 ? 8000 + card.port : card.port)},
          name_{or_word(card.name, "NAME")},
          project_{"--project=" + or_word(card.project, "PROJECT")},
          zone_{"--zone=" + or_word(card.zone, "ZONE")} {}

    [[nodiscard]] std::string from_this_machine_only() const {
        std::string text =
            "Without a password the port is open on this machine alone. From yours,\n"
            "and then " +
            here() + ":\n";
        const std::string forward = "-L " + local_ + ":localhost:" + port_;
        if (card_.name.empty())
            return text + command({"ssh", forward, "THIS-MACHINE"});
        return text + command({"gcloud", "compute", "ssh", name_, project_, zone_, "--", forward});
    }

    [[nodiscard]] std::string through_a_firewall() const {
        if (card_.name.empty())
            return {};
        const bool tagged = std::any_of(card_.tags.begin(), card_.tags.end(), is_plain);
        std::string text = card_.has_external_address
                               ? "If your browser does not reach it, let your address in:\n"
                               : "It has no address outside its network; let Google's tunnel in:\n";
        if (!tagged)
            text += command({"gcloud",
                             "compute",
                             "instances",
                             "add-tags",
                             name_,
                             "--tags=" + tag(),
                             project_,
                             zone_});
        text += command(
            {"gcloud",
             "compute",
             "firewall-rules",
             "create",
             "allow-jupyter-" + port_,
             project_,
             "--network=" + or_word(card_.network, "NETWORK"),
             "--allow=tcp:" + port_,
             "--target-tags=" + tag(),
             "--source-ranges=" + (card_.has_external_address ? std::string{"YOUR-IP/32"}
                                                              : std::string{tunnel_range})});
        text += card_.has_external_address
                    ? "or come through Google's tunnel, which such a rule for " +
                          std::string{tunnel_range} + "\nlets in, and then " + here() + ":\n"
                    : "and come through it, and then " + here() + ":\n";
        return text + command({"gcloud",
                               "compute",
                               "start-iap-tunnel",
                               name_,
                               port_,
                               "--local-host-port=localhost:" + local_,
                               zone_,
                               project_});
    }

private:
    [[nodiscard]] std::string here() const { return "https://localhost:" + local_ + "/"; }
    [[nodiscard]] std::string tag() const {
        const auto found = std::find_if(card_.tags.begin(), card_.tags.end(), is_plain);
        return found == card_.tags.end() ? "jupyter" : *found;
    }

    const MachineCard& card_;
    std::string port_;
    std::string local_;
    std::string name_;
    std::string project_;
    std::string zone_;
};

} // namespace

std::string reach_advice(const MachineCard& card) {
    const Advice advice{card};
    return card.reach == Reach::this_machine ? advice.from_this_machine_only()
                                             : advice.through_a_firewall();
}

} // namespace agent
