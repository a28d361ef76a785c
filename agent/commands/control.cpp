#include "agent/commands/control.hpp"

#include "agent/base/text.hpp"

#include <ostream>

namespace agent {
namespace {

constexpr int exit_failed = 1;
constexpr int exit_usage = 64;  // EX_USAGE
constexpr int exit_noperm = 77; // EX_NOPERM
constexpr std::size_t longest = 4096;

int exit_code(ControlAnswer::Outcome outcome) {
    switch (outcome) {
    case ControlAnswer::Outcome::accepted:
        return 0;
    case ControlAnswer::Outcome::forbidden:
        return exit_noperm;
    case ControlAnswer::Outcome::invalid:
        return exit_usage;
    case ControlAnswer::Outcome::failed:
        break;
    }
    return exit_failed;
}

} // namespace

int control_command(const ControlRequest& request,
                    ControlClient& client,
                    std::ostream& out,
                    std::ostream& err) {
    const auto answer = client.ask(request);
    if (!answer) {
        err << "agent: " << answer.error().message << "\n";
        if (!answer.error().next.empty())
            err << "  next: " << answer.error().next << "\n";
        return exit_failed;
    }
    const std::string message = printable(answer->message, longest);
    if (answer->outcome != ControlAnswer::Outcome::accepted) {
        err << "agent: " << message << "\n";
        return exit_code(answer->outcome);
    }
    out << message << "\n";
    if (request.verb == ControlRequest::Verb::retry)
        out << "follow with `agent status --watch`\n";
    out.flush();
    return 0;
}

} // namespace agent
