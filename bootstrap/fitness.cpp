#include "bootstrap/fitness.hpp"

#include <charconv>
#include <string>

namespace agent {
namespace {

constexpr const char* fit_images = "use a Debian 11, 12 or 13 or an Ubuntu 22.04 or 24.04 image";
constexpr std::string_view opening = "systemd ";

} // namespace

// "systemd 252 (252.39-1~deb12u1)"
Result<void> require_systemd(std::string_view version_answer) {
    unsigned version = 0;
    if (version_answer.starts_with(opening)) {
        version_answer.remove_prefix(opening.size());
        std::from_chars(
            version_answer.data(), version_answer.data() + version_answer.size(), version);
    }
    if (version == 0)
        return misconfigured("this machine does not run systemd", fit_images);
    if (version < oldest_systemd)
        return misconfigured("this machine's systemd is " + std::to_string(version) +
                                 ", needed is " + std::to_string(oldest_systemd) + " or newer",
                             fit_images);
    return {};
}

} // namespace agent
