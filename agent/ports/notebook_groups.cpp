#include "agent/ports/notebook_groups.hpp"

#include "agent/base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <string>
#include <string_view>
#include <utility>

namespace agent {
namespace {

constexpr int some_not_found = 2;       // getent(1)
constexpr gid_t first_of_people = 1000; // Debian's and Ubuntu's FIRST_GID
// What their packages or Google's guest agent may make beyond that number.
constexpr std::array<std::string_view, 11> powerful{"admin",
                                                    "docker",
                                                    "google-sudoers",
                                                    "incus",
                                                    "incus-admin",
                                                    "libvirt",
                                                    "lxd",
                                                    "microk8s",
                                                    "podman",
                                                    "sudo",
                                                    "wheel"};
constexpr std::array<std::string_view, 8> harmless{
    "audio", "cdrom", "dip", "games", "plugdev", "render", "users", "video"};

template <class Names> bool contains(const Names& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

// group(5): name:password:number:members
std::map<gid_t, std::string> names_by_number(std::string_view lines) {
    std::map<gid_t, std::string> names;
    for (const auto& line : split(lines, '\n')) {
        const auto fields = split(line, ':');
        gid_t number{};
        if (fields.size() >= 3 &&
            std::from_chars(fields[2].data(), fields[2].data() + fields[2].size(), number).ec ==
                std::errc{})
            names.emplace(number, fields[0]);
    }
    return names;
}

} // namespace

Command name_groups(const std::vector<gid_t>& groups) {
    Command command;
    command.deadline = std::chrono::seconds{10};
    command.argv = {"/usr/bin/getent", "group"};
    command.on_line = [](std::string_view) {}; // many names, of no use in a log
    for (const gid_t group : groups)
        command.argv.push_back(std::to_string(group));
    return command;
}

Result<std::vector<gid_t>>
powerful_groups(const std::vector<gid_t>& groups, gid_t primary, CommandOutcome named) {
    if (named.exit_code() != some_not_found) {
        auto answered = require_success(std::move(named), ErrorKind::transient);
        if (!answered)
            return context(answered.error(), "asking for the names of the user's groups");
        named = std::move(*answered);
    }
    const auto names = names_by_number(named.output);
    std::vector<gid_t> found;
    for (const gid_t group : groups) {
        const auto known = names.find(group);
        const std::string_view name = known == names.end() ? "" : std::string_view{known->second};
        const bool is_powerful =
            contains(powerful, name) || (group < first_of_people && !contains(harmless, name));
        if (group != primary && is_powerful)
            found.push_back(group);
    }
    return found;
}

} // namespace agent
