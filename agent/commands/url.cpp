#include "agent/commands/url.hpp"

#include "agent/base/text.hpp"
#include "agent/report/machine_file.hpp"
#include "agent/report/status_file.hpp"
#include "agent/steps/jupyter_config.hpp"

#include <ostream>
#include <string>

namespace agent {
namespace {

// Why Jupyter is not open, in one sentence without its full stop; empty when it is.
std::string obstacle(const StatusReading& reading) {
    if (reading.stale || !reading.status)
        return printable(reading.why) + "; see `systemctl status agent`";
    const Status& status = *reading.status;
    const bool withdrawn = status.problem && status.problem->step == "ready";
    if (!status.url.empty() && !withdrawn)
        return {};
    std::string text = "Jupyter is not open: " + printable(status.summary);
    if (status.problem && !status.problem->next.empty())
        text += "; next: " + printable(status.problem->next);
    else if (!is_settled(status.state))
        text += "; `agent status --wait` waits for it";
    return text;
}

std::string landing(const Root& root) {
    const auto card = read_machine_card(root);
    return card && card->landing == "tree" ? "tree" : "lab";
}

} // namespace

int url_command(const Root& root, Output output, std::ostream& out, std::ostream& errors) {
    const auto reading = read_status(root, current_boot_id(root));
    if (const std::string why = obstacle(reading); !why.empty()) {
        errors << "agent url: " << why << "\n";
        return 1;
    }
    const std::string url = printable(reading.status->url);
    out << url << "\n";
    if (output == Output::terminal)
        if (const auto token = configured_token(root))
            out << url << landing(root) << "?token=" << token->reveal() << "\n";
    out.flush();
    return 0;
}

} // namespace agent
